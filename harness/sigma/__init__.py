"""The API we speak: bytes to lines, lines to packets, packets to a transcript; requests and endpoints."""
