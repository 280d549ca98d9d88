"""From videos to keypoints, in as many processes as there are cores."""
