"""Engines of `/v1/realtime`: the client is a package of its own (docs/adr/0009), which knows nothing of our faults."""

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

import vllm_realtime
from agents.runtime.errors import EngineLost
from agents.stt.faults import fault_of, faults_as_api_errors


class RealtimeSTT(vllm_realtime.STT):
    """Its streams fail with one of our faults as the cause."""

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "RealtimeStream":
        return RealtimeStream(engine=self, language=language or "", conn_options=conn_options)


class RealtimeStream(vllm_realtime.SpeechStream):
    """One socket's worth of utterances."""

    async def _run(self) -> None:
        with faults_as_api_errors():
            try:
                await super()._run()
            except vllm_realtime.ServerRefused as error:
                headers = {"Retry-After": error.retry_after} if error.retry_after else None
                fault = fault_of(status=error.status_code, headers=headers)
            except vllm_realtime.ServerLost as error:
                raise EngineLost(error.message) from error
            else:
                return
            raise fault
