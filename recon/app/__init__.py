"""A local web page in which people drop photos, see the heads and steer them: ``recon app``.

Everything but :mod:`recon.app.server`, :mod:`recon.app.page`, :mod:`recon.app.panels` and :mod:`recon.app.head_view` works without
the extra ``app``.
"""
