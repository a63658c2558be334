"""Bounds, each with its unit. Audio is PCM16, 16 kHz, mono throughout."""

SAMPLE_RATE_HZ = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE_HZ

MAX_MESSAGE_BYTES = 1024 * 1024
"""One WebSocket message; larger ones close the connection with 1009."""
MAX_FRAME_BYTES = 20 * BYTES_PER_SECOND
"""One `input_audio_buffer.append`, decoded."""
MAX_BUFFERED_BYTES = 30 * BYTES_PER_SECOND
"""Audio that waits for its `commit`."""
MAX_UTTERANCE_S = 900.0
"""One utterance; a ten-minute monologue is one."""
MAX_UPLOAD_BYTES = 30 * 1024 * 1024
"""One file of `/v1/audio/transcriptions`: a little over MAX_UTTERANCE_S."""

CONNECTIONS_PER_SESSION = 16
"""Connections rest between utterances, so more of them than decoders are let in."""
SILENT_CLIENT_S = 10.0
"""A client that sends no audio in the middle of an utterance for this long has gone."""
RESTING_CLIENT_S = 300.0
"""A client that sends nothing at all between utterances for this long has gone."""
DECODER_TIMEOUT_S = 20.0
"""A decoder that neither takes audio nor answers for this long is replaced."""
RESULT_TIMEOUT_S = 30.0
"""After an utterance's end its result comes within this, or it is given up: a replayed backlog included."""
SEND_TIMEOUT_S = 10.0
"""A client that does not read for this long is dropped."""
MAX_ERRORS = 50
"""A client that is refused this often on one connection is sent away."""
