"""Videos whose lips follow another voice: the lower face of each frame is drawn anew by a diffusion network that hears the voice.

:mod:`recon.dubbing.face_crops` frames the face and hides what speaks, :mod:`recon.networks.diffusion` holds the network and its sampling,
and :mod:`recon.dubbing.dub` edits a whole video. The method is that of Bigioi et al. 2024 (docs/papers.md).
"""
