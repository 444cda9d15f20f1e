"""What a golden file needs and this machine lacks."""

from __future__ import annotations


class Missing(Exception):
    """Why a file is skipped."""
