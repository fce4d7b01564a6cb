"""What is drawn at random: people, expressions, poses, lights and places."""
