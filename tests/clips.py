"""Small videos made in-process, of which each frame says its number by its brightness."""

from fractions import Fraction

import numpy as np

STEP = 8  # brightness from frame to frame; 32 frames can be told apart


def write_clip(
    path, num_frames=12, *, fps=10, times=None, size=(48, 32), codec="mpeg4", rotation=0, gop=12, b_frames=None,
    **settings,
):  # fmt: skip
    """Writes a video; `times` are in milliseconds, for a rate that varies."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", **settings) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate, stream.gop_size = 2_000_000, gop
        if b_frames is not None:  # pictures that are stored after a later one
            stream.codec_context.max_b_frames = b_frames
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


def trim_start(path, clip, num_frames):
    """Copies a video without decoding it, and leaves out its first frames by an edit list."""
    import av

    with av.open(str(clip)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                start = packet.duration * num_frames
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
                target.mux(packet)
    return path


def shown_numbers(paths):
    """Reads the numbers of frames back."""
    from PIL import Image

    return [round(float(np.asarray(Image.open(path).convert("L")).mean()) / STEP) for path in paths]
