"""The page that shows a render to an artist or their client; `write` makes it."""
