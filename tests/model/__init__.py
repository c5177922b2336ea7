"""The core searched exhaustively, against a world that fails in every way we know."""
