"""Where the ffmpeg is that the workers run."""

from __future__ import annotations

import shutil


def find_ffmpeg() -> str:
    """The absolute path of ffmpeg: from PATH, otherwise the one in the imageio-ffmpeg package.

    FileNotFoundError with a sentence when there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg
    except ImportError:
        pass
    else:
        try:
            return str(imageio_ffmpeg.get_ffmpeg_exe())
        except RuntimeError:
            pass
    raise FileNotFoundError(
        "ffmpeg is neither on PATH nor in the imageio-ffmpeg package: "
        "install one of them (apt-get install ffmpeg, or pip install imageio-ffmpeg)"
    )
