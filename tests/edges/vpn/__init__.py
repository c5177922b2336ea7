"""Tests of the boundary, on real sockets and in network namespaces of their own."""
