"""The same model, batch, sizes and views in other libraries, each used by its own documented recipe."""
