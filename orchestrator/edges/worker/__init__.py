"""The ffmpeg worker: one child that turns a camera into two outputs, and what holds it."""
