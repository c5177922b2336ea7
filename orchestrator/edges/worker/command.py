"""The arguments of one ffmpeg worker, from a spec alone: nothing here looks at the world."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ffmpeg as graph

from orchestrator.core.worker import Mask, WorkerSpec
from orchestrator.edges.worker.source import source_of

FONT = Path(__file__).parent / "font" / "DejaVuSansMono-ASCII.ttf"
PLAYLIST = "index.m3u8"
SEGMENT_S = 1
LISTED_SEGMENTS = 4
KEPT_SEGMENTS = 4
SIZE = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
BITRATE = re.compile(r"[1-9][0-9]{0,5}[kM]?")
FOLDER = re.compile(r"/[A-Za-z0-9._/-]+")
WATERMARK = re.compile(r"[ -~]{1,100}")
OUTPUTS = frozenset({"hls", "mp4"})
MAX_MASKS = 16

# Dense key frames in the first second bring the first segment early; then one a second, to cut segments at.
KEY_FRAMES = "expr:if(lt(t,1),not(mod(n,3)),gte(t,prev_forced_t+1))"
LINE_PX = "max(8,h/28)"


def arguments(spec: WorkerSpec, ffmpeg: str, folder: Path, *, progress: int = 3) -> list[str]:
    """The argument list of `ffmpeg` for `spec`: HLS into `folder`, fragmented MP4 on descriptor 1.

    `progress` is the descriptor on which ffmpeg reports its progress. ValueError with a sentence for
    whatever is not allowed (S26); no secret is ever part of the list (S19).
    """
    _check(spec, folder)
    source = source_of(spec)
    camera = graph.input(source.address, format=source.demuxer, threads=1, **source.options)
    command = graph.output(
        _picture(camera["v:0"], spec),
        _destinations(spec, folder),
        format="tee",
        flags="+global_header",
        an=None,
        sn=None,
        dn=None,
        map_metadata=-1,
        **_encoder(spec),
        t=f"{spec.longest_end_s:.3f}",
    )
    command = command.global_args(
        *("-hide_banner", "-nostdin", "-loglevel", "warning"),
        *("-filter_complex_threads", "1"),
        *("-progress", f"pipe:{progress}", "-stats_period", "0.25"),
    )
    return [str(part) for part in graph.compile(command, cmd=ffmpeg)]


def _check(spec: WorkerSpec, folder: Path) -> None:
    if spec.size != "source" and not SIZE.fullmatch(spec.size):
        raise ValueError(f'size {spec.size!r} is neither "source" nor of the form "640x360"')
    if not 1 <= spec.fps <= 60:
        raise ValueError(f"fps {spec.fps} is not between 1 and 60")
    if not BITRATE.fullmatch(spec.bitrate):
        raise ValueError(f'bitrate {spec.bitrate!r} is not of the form "600k"')
    if not spec.outputs or not OUTPUTS.issuperset(spec.outputs):
        raise ValueError(f"outputs {list(spec.outputs)} are not some of {sorted(OUTPUTS)}")
    if not 0 < spec.longest_end_s <= 86_400:
        raise ValueError(f"a worker must end between now and in a day, not in {spec.longest_end_s} s")
    if spec.watermark is not None and not WATERMARK.fullmatch(spec.watermark):
        raise ValueError("the watermark is not 1 to 100 printable ASCII characters")
    if len(spec.masks) > MAX_MASKS:
        raise ValueError(f"{len(spec.masks)} masks are more than {MAX_MASKS}: use fewer, larger ones")
    for mask in spec.masks:
        inside = 0 <= mask.x < 1 and 0 <= mask.y < 1 and mask.x + mask.width <= 1.0001
        if not (inside and mask.width > 0 and mask.height > 0 and mask.y + mask.height <= 1.0001):
            raise ValueError(f"{mask} does not lie inside the picture (fractions between 0 and 1)")
    if "hls" in spec.outputs and not FOLDER.fullmatch(str(folder)):
        raise ValueError(f"segment folder {str(folder)!r} must be absolute and of letters, digits and ._-/")


def _encoder(spec: WorkerSpec) -> dict[str, str | int]:
    """H.264 that starts at once and stays light: one thread, no look-ahead, a bounded rate."""
    return {
        "c:v": "libx264",
        "preset": "ultrafast",
        "tune": "zerolatency",
        "threads": 1,
        "pix_fmt": "yuv420p",
        "fps_mode": "vfr",
        "b:v": spec.bitrate,
        "maxrate": spec.bitrate,
        "bufsize": spec.bitrate,
        "g": spec.fps * 10,
        "sc_threshold": 0,
        "force_key_frames": KEY_FRAMES,
    }


def _destinations(spec: WorkerSpec, folder: Path) -> str:
    """Both ways out of the one encode, in the tee muxer's notation."""
    legs = []
    if "hls" in spec.outputs:
        options = {
            "f": "hls",
            "onfail": "abort",
            "hls_init_time": "0.2",
            "hls_time": str(SEGMENT_S),
            "hls_list_size": str(LISTED_SEGMENTS),
            "hls_delete_threshold": str(KEPT_SEGMENTS),
            "hls_flags": "temp_file+delete_segments",
            "hls_segment_filename": f"{folder}/%d.ts",
        }
        legs.append(f"[{':'.join(f'{key}={value}' for key, value in options.items())}]{folder}/{PLAYLIST}")
    if "mp4" in spec.outputs:
        legs.append("[f=mp4:onfail=abort:movflags=empty_moov+default_base_moof+frag_every_frame]pipe:1")
    return "|".join(legs)


def _picture(stream: Any, spec: WorkerSpec) -> Any:
    """The filters: at most `fps` frames a second, never enlarged, even sides, masked, marked."""
    # One frame of each 1/fps; a slower camera is passed on as it comes, without waiting for its next frame.
    slot = f"floor(t*{spec.fps})"
    last = f"floor(prev_selected_t*{spec.fps})"
    stream = stream.filter("select", f"isnan(prev_selected_t)+gt({slot},{last})")
    if size := SIZE.fullmatch(spec.size):
        stream = stream.filter(
            "scale",
            w=f"min(iw,{size[1]})",
            h=f"min(ih,{size[2]})",
            force_original_aspect_ratio="decrease",
            force_divisible_by=2,
        )
    else:
        stream = stream.filter("crop", w="trunc(iw/2)*2", h="trunc(ih/2)*2", x=0, y=0)
    stream = stream.filter("format", "yuv420p")
    for mask in spec.masks:
        stream = _masked(stream, mask)
    if spec.watermark is not None:
        stream = _marked(stream, spec.watermark)
    return stream


def _masked(stream: Any, mask: Mask) -> Any:
    """The stream with one rectangle blurred, its edges moved outwards to even pixels."""
    halves = stream.split()
    left, top = f"2*floor(iw*{mask.x:.6f}/2)", f"2*floor(ih*{mask.y:.6f}/2)"
    right = f"2*ceil(iw*{min(mask.x + mask.width, 1.0):.6f}/2)"
    bottom = f"2*ceil(ih*{min(mask.y + mask.height, 1.0):.6f}/2)"
    hidden = halves[1].filter("crop", w=f"min(iw,{right})-{left}", h=f"min(ih,{bottom})-{top}", x=left, y=top)
    # The strongest blur that both ffmpeg 5 and 9 accept for the size of the rectangle.
    hidden = hidden.filter("boxblur", lr="(min(w,h)-1)/2", lp=3, cr="(min(cw,ch)-1)/2", cp=3)
    return graph.overlay(halves[0], hidden, x=left.replace("iw", "W"), y=top.replace("ih", "H"))


def _marked(stream: Any, text: str) -> Any:
    """The stream with two small lines at the bottom left: the text and the UTC time."""
    look = {
        "fontfile": str(FONT),
        "fontsize": LINE_PX,
        "fontcolor": "white",
        "box": 1,
        "boxcolor": "black@0.5",
        "boxborderw": 2,
        "x": 4,
    }
    stream = stream.filter("drawtext", text=text, expansion="none", y=f"h-2.8*{LINE_PX}", **look)
    return stream.filter("drawtext", text="%{gmtime} UTC", y=f"h-1.4*{LINE_PX}", **look)
