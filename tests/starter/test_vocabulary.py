import ast
from pathlib import Path

import numpy as np
import pytest

from backend.starter.dataset import VIEWS, content_of, is_held_out
from backend.starter.styles import STYLES
from backend.starter.vocabulary import CAPTIONS, CONTENTS, LENGTH, caption, captions, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def test_every_style_has_its_words_and_every_scene_its_name():
    assert set(CAPTIONS) == set(STYLES)
    drawn = {caption("paper cut", "a forest", np.random.default_rng(seed)) for seed in range(40)}
    assert drawn == {"a paper cut of a forest", "a forest, paper cut", "a forest cut from paper", "paper cut"}
    assert {content_of(render) for render in range(VIEWS * len(CONTENTS))} == set(CONTENTS)
    held_out = [render for render in range(48) if is_held_out(render)]
    assert held_out == [22, 23, 46, 47]  # both views of a scene


def test_the_scenes_show_what_the_captions_say():
    source = (Path(__file__).parents[2] / "tools" / "starter_scenes.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    shown = next(
        node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == "CONTENTS"
    )
    assert tuple(key.value for key in shown.keys) == CONTENTS


def test_captions_come_back_from_the_tokenizer_word_for_word(tokenizer):
    for text in captions():
        ids = tokenizer(text, padding="max_length").input_ids
        assert len(ids) == LENGTH
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        words = text.replace(",", " ,").split()
        assert tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False).input_ids) == [
            word + "</w>" for word in words
        ]


def test_any_other_text_is_read_byte_by_byte(tokenizer, tmp_path):
    text = "ein größeres bild, 花!"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in ids[:-1] or tokenizer.unk_token == tokenizer.eos_token
    assert "".join(tokenizer.decode(ids).split()) == "".join(text.split())
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again(text).input_ids == tokenizer(text).input_ids
    assert again.model_max_length == LENGTH
