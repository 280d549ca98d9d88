"""Extract keypoints from videos, in as many processes as there are cores."""
