"""Training: from a procedural world to a complete editing model.

========================  ==========================================================
``loop``                  one seeded, logged, resumable loop; a stage is a ``Task``
``data``, ``latents``     captioned pictures, drawn once; their encodings
``tokenizer``, ``clip``   words as tokens; the CLIP that scores pictures
``autoencoder``           pixels <-> latents
``denoiser``              text encoder and U-Net by noise prediction
``cfg_distill``           guidance distillation into a w-embedded U-Net
``losses``, ``icd``       invertible consistency distillation as two LoRAs
``lcm``                   a latent consistency LoRA
``adapters``, ``export``  LoRA switching and files; the model folder
``scenes``                the recipe of the embedded model: stages and plans
``bars``, ``card``        what it reaches, and the card that says so
========================  ==========================================================

Everything random in a step is a function of (seed, step), so a killed run that continues ends with
the same weights. On a CPU a batch is cut into parts that run in threads of their own.
"""
