"""Training of the networks: data, batches, losses put together, Lightning modules.

- The regressor: ``module`` (one step), ``mixed`` (with the discriminator), ``terms`` (all losses), ``validation``; its data are
  ``synthetic_data`` (with ``stream``), ``photo_data`` (``photos``, made by ``preparing``), ``labelled_photos`` and ``mixed_data``;
  ``augment`` changes framing and exposure of its pictures.
- The landmark network: ``landmark_module``, ``landmark_data``, ``landmark_config``, ``framing`` (crops) and ``degrade``.
- The face box network: ``face_box_module``, ``face_box_data``, ``face_scenes``.
- The last two read rendered faces from disk (``face_cache``) and share ``single_network``.
- Of all runs: ``averaged`` (weights' average, exact resume), ``held_out``, ``schedule``, ``saving``, ``progress``, ``ending``,
  ``initial_weights``, ``run_config``, ``config_parser`` and ``moved_keys``.
"""
