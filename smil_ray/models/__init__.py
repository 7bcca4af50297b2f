"""Images to SMIL parameters: timm backbones, their weights, the decoder, and heads in a room."""
