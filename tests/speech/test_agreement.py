from hypothesis import given
from hypothesis import strategies as st

from speech.agreement import LocalAgreement
from speech.engines.interface import Word


def words(*timed: tuple[str, float]) -> tuple[Word, ...]:
    """Words by where they end; each begins where the one before ended."""
    starts = (0.0, *(end_s for _, end_s in timed))
    return tuple(
        Word(text=text, start_s=start_s, end_s=end_s)
        for (text, end_s), start_s in zip(timed, starts, strict=False)
    )


def test_only_what_two_hypotheses_in_a_row_agree_on_is_given_out() -> None:
    agreement = LocalAgreement()
    assert agreement.hear(words(("good", 0.3), ("mourning", 0.7))) == ""
    assert agreement.hear(words(("good", 0.3), ("morning", 0.8))) == "good"
    assert agreement.hear(words(("good", 0.3), ("morning", 0.8), ("all", 1.1))) == " morning"
    assert agreement.text == "good morning"


def test_another_word_in_the_same_place_is_not_agreement() -> None:
    agreement = LocalAgreement()
    agreement.hear(words(("mourning", 0.7)))
    assert agreement.hear(words(("morning", 0.7))) == ""


def test_a_word_still_being_spoken_waits_although_its_text_agrees() -> None:
    agreement = LocalAgreement()
    agreement.hear(words(("every", 0.3)))
    assert agreement.hear(words(("every", 0.4))) == ""
    agreement.hear(words(("everyone", 0.6)))
    assert agreement.hear(words(("everyone", 0.6))) == "everyone"


def test_text_goes_on_after_a_word_the_recogniser_thought_better_of() -> None:
    agreement = LocalAgreement()
    agreement.hear(words(("sink", 0.4), ("you", 0.6)))
    agreement.hear(words(("sink", 0.4), ("you", 0.6)))
    corrected = words(("thank", 0.4), ("you", 0.6), ("for", 0.8))
    assert agreement.hear(corrected) == ""
    assert agreement.hear(corrected) == " for"
    assert agreement.text == "sink you for"


def test_the_result_adds_what_was_not_given_out_yet() -> None:
    agreement = LocalAgreement()
    agreement.hear(words(("good", 0.3)))
    agreement.hear(words(("good", 0.3)))
    assert agreement.conclude(words(("good", 0.3), ("morning", 0.8))) == " morning"
    assert agreement.conclude(words(("good", 0.3), ("morning", 0.8))) == ""


def test_a_corrected_result_takes_nothing_back() -> None:
    agreement = LocalAgreement()
    agreement.hear(words(("good", 0.3), ("mourning", 0.8)))
    agreement.hear(words(("good", 0.3), ("mourning", 0.8)))
    assert agreement.conclude(words(("good", 0.3), ("morning", 0.8))) == ""
    assert agreement.text == "good mourning"


hypotheses = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60)), max_size=8).map(
        lambda ends: words(*((text, end / 20) for text, end in sorted(ends, key=lambda pair: pair[1])))
    ),
    max_size=12,
)


@given(hypotheses)
def test_the_text_is_what_the_deltas_make_and_only_ever_grows(heard: list[tuple[Word, ...]]) -> None:
    agreement, text = LocalAgreement(), ""
    for hypothesis in heard:
        text += agreement.hear(hypothesis)
        assert agreement.text == text
    text += agreement.conclude(heard[-1] if heard else ())
    assert agreement.text == text
    assert text == " ".join(text.split())


@given(hypotheses)
def test_when_all_agree_everything_comes_out_once(heard: list[tuple[Word, ...]]) -> None:
    for hypothesis in heard:
        agreement = LocalAgreement()
        deltas = [agreement.hear(hypothesis), agreement.hear(hypothesis), agreement.hear(hypothesis)]
        assert "".join(deltas).split() == [
            word.text for word in hypothesis if word.end_s > word.start_s or word.end_s
        ]
        assert deltas[0] == deltas[2] == ""
