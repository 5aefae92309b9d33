"""The paper's networks in torch: backbones, STAT, LSTM, fusion, heads."""
