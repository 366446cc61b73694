"""Peer of the data path: PIL decode, torchvision antialiased resize to 320 px, float tensors in batches of 4. Usage: loader.py FOLDER"""
import glob
import sys
import time

import torch
import torchvision.transforms.v2.functional as F
from PIL import Image

FILES = sorted(glob.glob(sys.argv[1] + "/*/*.jpg") + glob.glob(sys.argv[1] + "/*/*.png"))


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return len(FILES)

    def __getitem__(self, i):
        t = F.pil_to_tensor(Image.open(FILES[i]).convert("RGB"))
        h, w = t.shape[1:]
        s = 320 / max(h, w)
        t = F.resize(t, [round(h * s), round(w * s)], antialias=True)
        return F.to_dtype(t, torch.float32, scale=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    best = 0
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(Images(), batch_size=4, num_workers=workers, collate_fn=list)
        list(loader)
        start = time.time()
        n = sum(len(b) for b in loader)
        best = max(best, n / (time.time() - start))
    print(f"best of 0 and 2 workers: {best:.0f} img/s")
