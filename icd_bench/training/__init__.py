"""Training of autoencoders, denoisers, guidance distillation and iCD."""
