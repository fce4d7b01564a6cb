"""Readers of published face models: one file a format, each with ``SOURCE`` and ``load(folder_or_file)``."""
