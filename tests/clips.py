"""Small videos made in-process, of which each frame says its number by its brightness."""

from fractions import Fraction

import numpy as np

STEP = 8  # brightness from frame to frame; 32 frames can be told apart


def write_clip(
    path, num_frames=12, *, fps=10, times=None, size=(48, 32), codec="mpeg4", rotation=0, gop=12, **settings
):
    """Writes a video; `times` are in milliseconds, for a rate that varies."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", **settings) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate, stream.gop_size = 2_000_000, gop
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for i in range(num_frames):
            pixels = np.full((size[1], size[0], 3), STEP * i, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def shown_numbers(paths):
    """Reads the numbers of frames back."""
    from PIL import Image

    return [round(float(np.asarray(Image.open(path).convert("L")).mean()) / STEP) for path in paths]
