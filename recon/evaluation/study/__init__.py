"""The subjective study: a questionnaire and its mean opinion scores."""
