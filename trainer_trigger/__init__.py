"""The trigger service: from "enough has changed" to a fine-tune that runs once."""
