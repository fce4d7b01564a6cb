"""From a fitted head and its photos to a texture of the exported mesh.

- ``bake``: :func:`~recon.texturing.bake.bake_texture`, all steps in order.
- ``uv_map``: which surface point each texel shows; ``unproject``: the photo's log albedo residual at points of the surface, and where
  the photo shows them; ``visible_skin``: where it shows uncovered skin, by a segmenter.
- ``delight``: removal of residual shading; ``eyes_teeth``: eyes and teeth, which keep the model's albedo in the photo's colours.
"""
