"""What is sampled: people, expressions, poses, lights and places."""
