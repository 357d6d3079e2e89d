#!/usr/bin/env python3
"""Answer one text with a saved classifier: the peer of `retune predict`, kept minimal.

    python bench/peers/predict.py FOLDER "A text."

FOLDER is what `text_classification.py --save` wrote. Nothing is imported but what the answer
needs, and the classes are named, which spares the look-up of the Auto ones.
"""

import json
import sys

import torch
from transformers import BertForSequenceClassification, BertTokenizerFast


def main() -> None:
    """Print the answer as one line of JSON."""
    folder, text = sys.argv[1:]
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        shares = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
    best = int(shares.argmax())
    print(json.dumps({"label": model.config.id2label[best], "share": round(float(shares[best]), 4)}))


if __name__ == "__main__":
    main()
