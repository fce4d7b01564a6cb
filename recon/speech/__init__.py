"""Speech and the face: spoken text with the times of its phonemes, what mouths do meanwhile, and the face shapes that a voice tells of.

:mod:`recon.speech.espeak` speaks text, :mod:`recon.speech.coarticulation` turns phonemes into motion of the mouth, and
:mod:`recon.speech.animator` hears that motion in any voice.
"""
