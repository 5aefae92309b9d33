"""From pictures to tracked, aligned, embedded faces: detect, track, align, embed, assess."""
