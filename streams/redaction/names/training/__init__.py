"""Makes the model that `streams.redaction.names` ships. Needs the `training` extra; nothing here runs in the stream."""
