"""Files and other programs: what is read from people, and what is written for them.

- Reading what people give: ``image`` (a photo with its focal length, see ``exif``), ``pictures`` and ``picture_headers`` (Pillow's
  formats), ``read_exr``, ``read_radiance``, ``regular_files`` and ``metered_file`` (bounds on what is read), ``base_configs`` (YAML),
  ``video``.
- Writing: ``files`` (whole or not at all), ``parts`` (temporary files), ``output_folder`` (results that are replaced only by the same
  work), ``png``, ``marked_png``, ``write_exr``, ``write_video``.
- What belongs to whom: ``fingerprint`` (what a result was made from), ``locks``, ``git``.
- Messages: ``faults``, ``extras``, ``left_out``, ``names``.
- ``resample``: affine resampling of pictures.
"""
