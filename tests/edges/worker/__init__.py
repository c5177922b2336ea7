"""Tests of the worker: real ffmpeg, real cameras on loopback."""
