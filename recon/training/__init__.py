"""Training of the networks: data, batches, losses put together, Lightning modules.

- The regressor: ``module`` (one step), ``mixed`` (with the discriminator), ``terms`` (all losses), ``validation``; its data are
  ``synthetic_data`` (with ``stream``), ``photo_data`` (``photos``, made by ``preparing``), ``labelled_photos`` and ``mixed_data``;
  ``augment`` changes framing and exposure of its pictures.
- The landmark network: ``landmark_module``, ``landmark_data``, ``landmark_config``, ``framing`` (crops) and ``degrade``.
- The face box network: ``face_box_module``, ``face_box_data``, ``face_scenes``.
- The lifting network: ``lifting_module``, ``lifting_data``, ``landmark_detections`` (on rendered faces), ``simulated_landmarks``.
- Depth: ``crop_depth_module`` (ours), ``depth_module``, ``depth_pair_module`` (adversarial), ``depth_data``, ``depth_stream``.
- Head pose: ``pose_module``, ``pose_pictures``, ``pose_adaptation_module``, ``pose_fusion_data``.
- Most of these read rendered faces from disk (``face_cache``) and share ``single_network``.
- Of all runs: ``averaged`` (weights' average, exact resume), ``held_out``, ``schedule``, ``saving``, ``progress``, ``ending``,
  ``initial_weights``, ``run_config``, ``config_parser`` and ``moved_keys``.
"""
