"""The subcommands of ``recon``, one file each."""
