"""Writes tokenizer.json and text_ids.json: token ids of transformers for the tests of the text processor.

    pip install tokenizers==0.22.1 transformers==4.57.1
    python make_text_ids.py
"""
import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent
WORDS = "the a film was good bad long and dull not un ##able ##s ##ing ##ed act music i like ! , . ' it".split()
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"bcdefghjklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrtuvwxyz")]

core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCAB)}, unk_token="[UNK]"))
core.normalizer = normalizers.BertNormalizer(lowercase=True)
core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
core.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
core.add_special_tokens(VOCAB[:5])
# Padding and truncation as sentence-transformers stores them: the reader must not keep them.
core.enable_truncation(7)
core.enable_padding(length=9)
core.save(str(HERE / "tokenizer.json"), pretty=False)
core.no_truncation()
core.no_padding()
hf = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")

TEXTS = [
    "",
    "The film was good!",
    "It's not unlikeable, and the acting was LONG.",
    "\u00dcn\u00efcode \u4e2d\u6587 \U0001f600 the  film\twas\n\nbad",
    "the a film was good bad long and dull not i like it " * 3,
    "[SEP] the [CLS] film",
]
PAIRS = [(TEXTS[1], TEXTS[2]), (TEXTS[4], TEXTS[1]), (TEXTS[1], TEXTS[4]), (TEXTS[4], TEXTS[4]), ("", TEXTS[4]), (TEXTS[4] + "good film", TEXTS[4]), (TEXTS[4], TEXTS[4] + "good film")]
cases = []
for max_length in (512, 16, 9, 8):
    for item in [(t,) for t in TEXTS] + PAIRS:
        out = hf(*item, truncation=True, max_length=max_length)
        types = [0 if t is None else t for t in out.encodings[0].type_ids]
        cases.append({"texts": item, "max_length": max_length, "ids": out["input_ids"], "types": types})
(HERE / "text_ids.json").write_text(json.dumps(cases, ensure_ascii=True) + "\n")
