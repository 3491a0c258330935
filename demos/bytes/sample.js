/** Prose that no model has seen, for cuts at many places. */
export const SAMPLE = `The ferry left before the rain had quite made up its mind. Martha stood at the rail with her brother's coat about her shoulders and watched the harbour grow small, \
first the crane, then the row of painted doors, and last of all the church upon its hill, which seemed to sink into the water like a lamp that somebody was lowering on a rope. She had \
not meant to look back. The letter in her pocket said only that the house was empty and that the key would be under the blue stone, and she had read it so many times that the folds had \
begun to open. An old man with a basket of plums sat down beside her and began to talk, not to her exactly, but to the sea, as if it had asked him a question a long while ago and was \
still waiting for the answer. His father had built boats on the island, he said, and his grandfather before him, and now there was nobody left who could bend a plank without breaking \
it. When the wind turned they both moved under the awning. By evening the clouds had opened in the west, the engine slowed, and a boy with a lantern came running along the stones to \
catch the rope; and she understood, with a kind of quiet surprise, that she was no longer afraid of what she would find behind the door.`;
