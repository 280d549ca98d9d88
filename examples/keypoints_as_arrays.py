"""Take the keypoints of each frame as numpy arrays: print when a hand is above the nose."""

import numpy as np
from actionstream import listen

for header, array in listen("keypoints"):
    if header.end_of_stream:
        break
    pose, face, left_hand, right_hand = np.split(array, np.cumsum([33 * 4, 468 * 3, 21 * 3]))
    landmarks = pose.reshape(33, 4)  # x and y from 0 to 1, from the upper left corner; z; visibility
    nose, left_wrist, right_wrist = landmarks[[0, 15, 16]]  # MediaPipe's numbers
    if "pose" in header.detected_parts and min(left_wrist[1], right_wrist[1]) < nose[1]:
        print(f"{header.captured_ns / 1e9:.2f} s: a hand is up")
