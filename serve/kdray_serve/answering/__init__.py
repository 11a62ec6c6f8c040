"""Who answers: versions, loaded models, queues, images in and answers out; no HTTP."""
