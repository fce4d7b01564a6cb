"""What several commands let people choose from. Written out, because importing it takes a second that no other command should wait for."""

DETECTORS = ("mediapipe", "open", "insightface")
"""Names of :data:`recon.detection.DETECTORS`."""
