/*
 * Fonts for the text of drawings.
 *
 * A box reads no file once it is shut, and a font is a file. So a few usual faces are opened
 * beforehand and kept, and fontconfig is told that there are no others: every family that a drawing
 * names is then answered with one of those.
 */
#pragma once

/* Open the usual faces for the calling thread, which is then the one that draws, and let them be
 * all there are. Once in a process, after libvips was opened. Does nothing where the libraries that
 * draw text are not here. */
void image_fonts_hold(void);
