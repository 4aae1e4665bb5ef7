"""Language: a sentence is told, two words are not, and only what is told can be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Default
from schemas.reasons import Reason
from streams.gates import plain
from streams.gates.language import Language, detect
from streams.stages.gate import Gates
from tests.candidates import judged, kept, mine, normalised

SENTENCES = {
    "en": "It is the best way to do this, and you can try it with what you have at home.",
    "de": "Das ist nicht der beste Weg, aber Sie können es auch mit einem Messer und etwas Geduld machen.",
    "fr": "C'est la meilleure façon de faire, mais vous pouvez aussi attendre que les autres soient là.",
    "es": "Es la mejor manera de hacerlo, pero también puede esperar a que los demás lleguen a la casa.",
    "it": "È il modo migliore per farlo, ma può anche aspettare che gli altri siano nella casa con lei.",
    "pt": "Não é a melhor maneira de fazer isso, mas você também pode esperar pelos outros em casa.",
    "nl": "Dit is niet de beste manier om het te doen, maar je kan ook wachten tot de anderen er zijn.",
    "sv": "Det är inte det bästa sättet att göra det, men du kan också vänta tills de andra är här.",
    "pl": "To nie jest najlepszy sposób, ale można też poczekać, aż inni będą w domu, jeśli się da.",
    "tr": "Bu en iyi yol değil ama diğerleri gelene kadar beklemek de çok iyi bir şey olabilir.",
    "ru": "Это не самый лучший способ, но вы можете подождать, когда все они будут дома.",
    "uk": "Це не найкращий спосіб, але ви можете почекати, коли всі вони будуть вдома.",
    "zh": "这不是最好的办法，但是你也可以等其他人来了再说。",
    "ja": "これは一番いい方法ではありませんが、他の人が来るまで待つこともできます。",
    "ko": "이것은 가장 좋은 방법은 아니지만 다른 사람들이 올 때까지 기다릴 수 있습니다.",
    "ar": "هذه ليست أفضل طريقة، لكن يمكنك أيضا الانتظار في البيت مع الآخرين إلى أن يصل الجميع.",
    "fa": "این بهترین راه نیست، اما می توانید با دیگران در خانه صبر کنید که آن را ببینید.",
    "hi": "यह सबसे अच्छा तरीका नहीं है, लेकिन आप इंतज़ार कर सकते हैं।",
    "el": "Δεν είναι ο καλύτερος τρόπος, αλλά μπορείτε να περιμένετε.",
    "he": "זו לא הדרך הטובה ביותר, אבל אפשר גם לחכות לאחרים.",
    "th": "นี่ไม่ใช่วิธีที่ดีที่สุด แต่คุณสามารถรอคนอื่นได้",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_tells_its_language(code: str) -> None:
    assert detect(plain(SENTENCES[code]))[0] == code


@pytest.mark.parametrize("text", ["", "42", "Ok", "Zürich Paris Roma", "🙂🙂", "1 + 1 = 2", "x y z"])
def test_what_says_too_little_tells_none(text: str) -> None:
    assert detect(plain(text))[0] is None


@given(st.text(max_size=300))
def test_any_text_has_a_confidence_between_0_and_1(text: str) -> None:
    assert 0 <= detect(text)[1] <= 1


def test_a_language_that_the_profile_does_not_allow_is_dropped_and_one_that_cannot_be_told_passes() -> None:
    gate = Language(Default(languages=("en", "de")))
    assert gate.judge(judged(SENTENCES["en"])).passed
    assert gate.judge(judged(SENTENCES["de"])).passed
    assert gate.judge(judged(SENTENCES["fr"])).reason == Reason.LANGUAGE
    assert gate.judge(judged("Ok", "1 + 1?")).passed
    assert Language(Default()).judge(judged(SENTENCES["fr"])).passed


def test_the_question_tells_the_language_of_a_short_answer() -> None:
    assert Language(Default()).judge(judged("Ja.", SENTENCES["de"])).detail == "de"
    assert kept(Gates(mine())(normalised("Ja.", SENTENCES["de"]))).language == "de"
