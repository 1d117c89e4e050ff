"""The work stream: `incoming` reads batches, `outbox` gathers what to say, `session` serves one executor's stream."""
