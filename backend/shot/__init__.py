"""One shot on disk, as arrays: its beauty frames, its data layer, and the motion that follows from them."""
