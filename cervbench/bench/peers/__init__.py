"""The same model, batch, sizes and views through other libraries, each by its own documented recipe."""
