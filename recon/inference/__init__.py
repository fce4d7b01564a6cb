"""Trained networks applied to photos.

Faces and landmarks, by the detector ``"open"``:

- ``face_boxes``: a photo to boxes with five points each (the face box network).
- ``landmarks``: a photo and five points to dense landmarks with standard deviations (the landmark network).
- ``dense_landmark_detector``: both in a row, behind the interface of :class:`recon.detection.detect.Detector`.
- ``landmark_detection``: a photo to faces with landmarks, by a detector of any name.

What follows from the landmarks:

- ``landmark_observation``: the landmarks and the errors of their detector as a fit takes them.
- ``landmark_pose``: the rotation of the head in closed form.

Parameters of the head, by a network:

- ``lifting``: a face's landmarks to parameters with their uncertainty, the network of the package.
- ``regress``: a face's aligned crop to parameters in the frame of the crop's camera.
- ``light_albedo``: light and albedo solved on that crop, shape and pose held.
- ``estimator``: both in a row, in the frame of the photo's camera; and initial estimates for fits.
"""
