"""ML-1M as two shops: films hashed into catalogues A and B, users hashed into those of A and those of B; a tenth of B's
films is withheld from B's training: it appears only as some users' last event."""
import hashlib, sys
from collections import defaultdict
src, out = sys.argv[1], sys.argv[2]
h = lambda text, salt: int(hashlib.sha256((salt + text).encode()).hexdigest(), 16)
rows = []
with open(src + ".inter") as f:
    head = f.readline()
    for line in f:
        u, i, r, t = line.rstrip("\n").split("\t")
        rows.append((u, i, float(t)))
items = open(src + ".item").read().split("\n")
ihead, items = items[0], [l for l in items[1:] if l]
inA = lambda i: h(i, "film") % 2 == 0
userA = lambda u: h(u, "user") % 2 == 0
cold = lambda i: h(i, "cold") % 10 == 0
def write(name, keep, drop_cold):
    per = defaultdict(list)
    for n, (u, i, t) in enumerate(rows):
        if keep(u, i): per[u].append((t, n, i))
    events = []
    for u, es in per.items():
        es.sort()
        if drop_cold:
            es = [e for k, e in enumerate(es) if k == len(es) - 1 or not cold(e[2])]
        if len(es) >= 5: events += [(n, u, i, t) for t, n, i in es]
    events.sort()
    with open(f"{out}/{name}.csv", "w") as f:
        f.write("user_id\titem_id\ttimestamp\n")
        for n, u, i, t in events: f.write(f"{u}\t{i}\t{int(t)}\n")
    print(name, len(events), "events", len({e[1] for e in events}), "users")
def writei(name, keep):
    n = 0
    with open(f"{out}/{name}.csv", "w") as f:
        f.write("item_id\ttitle\tyear\tgenre\n")
        for l in items:
            p = l.split("\t")
            if keep(p[0]): f.write("\t".join(p[:4]) + "\n"); n += 1
    print(name, n)
write("a-events", lambda u, i: userA(u) and inA(i), False)
write("b-events", lambda u, i: not userA(u) and not inA(i), True)
writei("a-items", inA); writei("b-items", lambda i: not inA(i))
