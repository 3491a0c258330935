/**
 * The five lessons of the tour: their text, steps that open a page in a certain state, questions, and a worksheet each.
 * Numbers are those of the bundled model and vocabularies; tests/browser/tour_page.test.mjs computes them again.
 */

/**
 * @typedef {{ id: string, what: string, look: string, page: string, state: Record<string, string> }} Step page: below demos/; state: of its address
 * @typedef {{ ask: string, answer: string }} Question
 * @typedef {{ head: string[], rows: string[][] }} Grid empty cells are to be filled in
 * @typedef {{ task: string, grid?: Grid, spaced?: string, lines?: number, room?: number, answer: string, solved?: string[][] }} Task spaced: a text with room between its letters; lines: to write on; room: to draw in, in lines; solved: the rows of the grid, filled in
 * @typedef {{ id: string, title: string, minutes: number, goal: string, text: string[], steps: Step[], questions: Question[], tasks: Task[] }} Lesson
 */

/** @type {readonly Lesson[]} */
export const LESSONS = [
    {
        id: 'tokens',
        title: 'What a model reads',
        minutes: 15,
        goal: 'You can say what a token is, why one text has different numbers of tokens, and who pays for it.',
        text: [
            'A language model never sees letters. Before it reads, a tokenizer cuts the text into pieces from a fixed list, its vocabulary, and hands over their numbers. Frequent words are one piece; rare ones fall into several; what was never seen falls into single bytes.',
            'The list is learnt: begin with bytes, join the pair of neighbours that occurs most often, note it as a new piece, and repeat. So a vocabulary is a portrait of the text that it was learnt from.',
        ],
        steps: [
            { id: 'a1', what: 'One sentence, three tokenizers: a small vocabulary, one that is eight times as large, and plain bytes.', look: 'Count the pieces. Point at one: its number and its bytes stand below. Which words differ?', page: 'tokenizers/', state: { text: 'The cat sat on the mat.', with: 'tiny,bpe-16k,byt5' } },
            { id: 'a2', what: 'A sum, with digits grouped from the left and from the right.', look: 'Where are the borders in 1234567? Write a longer number yourself.', page: 'tokenizers/', state: { text: '1234567 + 89', with: 'tiny,digits-ltr,digits-rtl' } },
            { id: 'a3', what: 'Words beyond English.', look: 'A bracket holds bytes that make one character together. How many tokens has λόγος?', page: 'tokenizers/', state: { text: 'Straße, λόγος, 日本語', with: 'tiny,bpe-16k' } },
            { id: 'a4', what: 'A word from the inside: play the merges that join it, under “Inside one word”.', look: 'Which pair is joined first? What would be missing for one single token?', page: 'tokenizers/', state: { text: 'tokenization', word: ' tokenization', with: 'tiny' } },
            { id: 'a5', what: 'Train a tokenizer of your own, on this project’s guides.', look: 'Start it, then move the size: the text gets shorter, by less and less.', page: 'train/', state: { kind: 'bpe', size: '1000' } },
        ],
        questions: [
            { ask: 'The bundled tokenizer needs 9 tokens for the sentence of the first step, bpe-16k needs 7. Why, and what does that cost?', answer: 'Its vocabulary is eight times as large and has “ cat” and “ mat” as whole pieces. The cost is in the model: every piece needs a row of numbers in its tables, and rare pieces are trained on few examples.' },
            { ask: 'Where does the space between two words go?', answer: 'To the front of the word behind it. So “the” at the beginning of a text and “ the” inside it are two tokens with different numbers, and a space at the very end of a text stands alone.' },
            { ask: 'λόγος has five letters. Why does it take ten tokens?', answer: 'These vocabularies were learnt from English. No pair of Greek bytes was frequent enough to be joined, so each of the ten bytes of the word is a token. Languages that are rare in the learning text pay more for the same meaning.' },
        ],
        tasks: [
            { task: 'Open the tokenizers’ page. Count the tokens of each text.', grid: { head: ['text', 'microtome-tiny', 'bpe-16k', 'bytes (ByT5)'], rows: [['The cat sat on the mat.', '', '', ''], ['A tokenizer tokenizes tokens.', '', '', ''], ['Straße', '', '', ''], ['λόγος', '', '', ''], ['my own:', '', '', '']] }, solved: [['The cat sat on the mat.', '9', '7', '23'], ['A tokenizer tokenizes tokens.', '13', '9', '29'], ['Straße', '6', '5', '7'], ['λόγος', '10', '10', '10'], ['my own:', '', '', '']], answer: '' },
            { task: 'Mark with strokes where microtome-tiny cuts.', spaced: 'Tokenization decides what a language model can see.', answer: 'T|o|ken|iz|ation| dec|ides| what| a| l|ang|u|age| mod|el| can| see|.   (18 tokens)' },
            { task: 'Find an English word of more than eight letters that is a single token, and one that has four or more. What is the difference between the two?', lines: 3, answer: 'What is frequent in the learning text became one piece. Put a space before the word: most whole words are pieces only with it.' },
            { task: 'By hand: join pairs in “aabaabaab”, always the most frequent pair of neighbours, three times. Write the text after each step.', lines: 3, answer: 'aab aab aab: join a+a (three times): AbAbAb with A = aa; join A+b (three times): BBB with B = aab; join B+B: CB with C = aabaab. At the first step “ab” is as frequent as “aa”: beginning with it is right too.' },
            { task: 'A service charges by tokens. Who pays more for the same message: somebody who writes English, or Greek? Why is that?', lines: 3, answer: 'The Greek writer, by this vocabulary about ten tokens for a word of five letters. The vocabulary was learnt from English text.' },
        ],
    },
    {
        id: 'cut',
        title: 'The cut at the end',
        minutes: 15,
        goal: 'You can explain why a prompt that stops inside a word misleads a model, and what the exact answer is made of.',
        text: [
            'A prompt has to be cut into tokens, and it ends where you stop typing. That end is a cut too, and a cut says something: no longer token fits here. The model has only seen texts that were cut by the same tokenizer, and believes it.',
            'The exact answer undoes this without training anything. It adds up every way in which a longer text that begins with your letters could have been cut, each with the probability that the model gives it, and asks which byte comes next.',
        ],
        steps: [
            { id: 'b1', what: 'A text that ends with a whole word.', look: 'Both answers agree: the distance is zero.', page: 'bytes/', state: { text: 'Once upon a time' } },
            { id: 'b2', what: 'The same text, two letters shorter.', look: 'What does the model give m after the cut, and exactly? Type the letters back, one by one.', page: 'bytes/', state: { text: 'Once upon a ti' } },
            { id: 'b3', what: 'The same text with a space at its end.', look: 'What is expected after the lone space? Take the space away again.', page: 'bytes/', state: { text: 'Once upon a time, ' } },
            { id: 'b4', what: 'The cost of the cut, byte by byte along a text.', look: 'Where does the curve fall to zero?', page: 'bytes/', state: { text: 'Once upon a time there was a little girl', open: 'along' } },
            { id: 'b5', what: 'Seven ways to heal a prompt, side by side.', look: 'Which come near the exact answer? What do they give up?', page: 'bytes/', state: { text: 'Once upon a ti', open: 'healing' } },
        ],
        questions: [
            { ask: 'After “Once upon a ti” the model gives m a chance of 0.005 %, though “time” is what everyone expects. Why?', answer: '“ time” is one token. In every text that the model was trained on, these letters came as that one token; after the separate tokens “ t” and “i” there never came “me”. The model is right about token sequences, and you asked about letters.' },
            { ask: 'At which places of a text is the distance zero, or nearly so?', answer: 'Where the last token would have been the same in any longer text: mostly at the end of a word, because what follows, a space or a comma, begins another token.' },
            { ask: 'Does the mistake go away when the model is trained for longer?', answer: 'No. A perfect model of token sequences makes it too, since it follows from the cut and not from the weights. The atlas has the proof as a run: number 48.' },
        ],
        tasks: [
            { task: 'Open the bytes’ page. Type the text letter by letter. For each prompt, write the likeliest next byte in both ways, and the distance.', grid: { head: ['prompt', 'after the cut', 'exact', 'distance'], rows: [['Once upon a t', '', '', ''], ['Once upon a ti', '', '', ''], ['Once upon a tim', '', '', ''], ['Once upon a time', '', '', '']] }, solved: [['Once upon a t', 'a', 'i', '0.956'], ['Once upon a ti', 'r', 'm', '1.000'], ['Once upon a tim', 'i', 'e', '0.876'], ['Once upon a time', ',', ',', '0.000']], answer: '' },
            { task: 'Draw the distance over the letters of “Once upon a time”: a bar for each letter, between 0 and 1. Mark the ends of tokens.', room: 4, answer: 'High inside words (0.64 to 1.00), zero after Once, upon and time; after the single letter a it is 0.02, since it could still become “an”.' },
            { task: 'A friend’s program adds a space to every prompt. What happens to the answers, and what would you change?', lines: 3, answer: 'The lone space becomes a token of its own, and says that no word follows that the vocabulary has with a space in front. Leave the space off: the next token brings its own.' },
            { task: 'Find a prompt that stops inside a word and still has a small distance. Why is it small?', lines: 3, answer: 'For example “The litt”: its pieces are the same in the longer word, so the cut is where it would have been anyway.' },
        ],
    },
    {
        id: 'inside',
        title: 'Which part says it?',
        minutes: 20,
        goal: 'You can follow an answer through the layers, find the head that carries it, and check that by taking it out.',
        text: [
            'A transformer keeps a list of numbers for each token, and each layer adds to it. Attention heads bring something from earlier tokens; feed-forward layers work on what is there. Because it is all addition, one can ask of every part how much it spoke for the answer.',
            'Three tools: the lens shows what each layer would say if it were the last; attribution splits the answer into parts; and taking a part out, or putting one in from another text, shows what really depends on it.',
        ],
        steps: [
            { id: 'c1', what: 'Read the lens downwards, in the last column.', look: 'In which layer does “she” win? What was there before?', page: 'inside/', state: { text: 'The little girl was hungry because', open: 'lens' } },
            { id: 'c2', what: 'Which parts say it? Bars to the right speak for “she”.', look: 'Find the largest bar of a head.', page: 'inside/', state: { text: 'The little girl was hungry because', open: 'parts' } },
            { id: 'c3', what: 'That head, 5.1, is taken out.', look: 'Compare the two distributions on the right.', page: 'inside/', state: { text: 'The little girl was hungry because', out: 'L5H1', open: 'parts' } },
            { id: 'c4', what: 'Where does it look? Further down, the patterns of layer 5 are open.', look: 'Choose head 1. Which token is read from “because”, beside the first one?', page: 'inside/', state: { text: 'The little girl was hungry because', open: 'attention' } },
            { id: 'c5', what: 'Two texts that differ in one word: the map at the end of the page.', look: 'In which column are the ones? Then put in “what attention writes”.', page: 'inside/', state: { text: 'The little girl was hungry because', other: 'The little boy was hungry because', open: 'pair' } },
        ],
        questions: [
            { ask: 'The lens says “he” in layer 4 and “she” in layer 5. Did the model first believe in a boy?', answer: 'Not necessarily. The lens reads early layers with the last layer’s eyes, which nothing has trained. What is sure: the information that makes it “she” reaches this place only in layer 5.' },
            { ask: 'Without head 5.1 the chance of “she” falls from 52 % to 12 %. Does the head know grammar?', answer: 'It moves something. The map of two texts shows what: up to the last layer the difference between the texts sits at the word “girl”, and the attention of layer 5 carries it to the end. Which word the head would fetch in another text has to be tried.' },
            { ask: 'Four heads of five rest on the first token in this text. Are they busy?', answer: 'Rather the opposite. A head has to put its attention somewhere; when it has nothing to bring, it rests on a token whose value is short, and moves next to nothing. Look under “Sinks and outliers”.' },
        ],
        tasks: [
            { task: 'Text: “The little girl was hungry because”. For each row of the lens, write the likeliest token of the last column and its probability.', grid: { head: ['after layer', 'token', 'probability'], rows: [['2', '', ''], ['3', '', ''], ['4', '', ''], ['5', '', '']] }, solved: [['2', 'he', '31 %'], ['3', 'he', '33 %'], ['4', 'he', '49 %'], ['5', 'she', '52 %']], answer: '' },
            { task: 'Take parts out, one at a time, and write the chance of “she” without each.', grid: { head: ['taken out', 'chance of “she”'], rows: [['nothing', ''], ['head 5.1', ''], ['attention of layer 5', ''], ['my own choice:', '']] }, solved: [['nothing', '52 %'], ['head 5.1', '12 %'], ['attention of layer 5', '13 %'], ['my own choice:', '']], answer: '' },
            { task: 'Draw the way of the information from “girl” to the answer: boxes for tokens and layers, an arrow for each move. On which observation rests each arrow?', room: 6, answer: 'It stays at “girl” up to the input of layer 5 (the map of states has its ones in that column), then the attention of layer 5, above all head 5.1, moves it to “because” (the map of attention has its one there), where the answer is read.' },
            { task: 'Change the text so that “he” should follow. Does the same head carry it? How do you know?', lines: 3, answer: 'With “boy” the head writes for “he” by the same way: putting its output from one text into the other turns the answer around.' },
        ],
    },
    {
        id: 'generation',
        title: 'How a text is drawn',
        minutes: 15,
        goal: 'You can say what temperature, top-k and top-p do, and why the likeliest text is not the best one.',
        text: [
            'A model gives a probability to every token of its vocabulary; something has to choose. Always taking the likeliest is one way. Drawing is another: then the tail of the list, thousands of tokens with a little each, is drawn from now and then, and one odd token leads to the next.',
            'Samplers reshape the list before the draw. Temperature spreads or sharpens it. Top-k keeps so many tokens, top-p as many as together reach a share. The seed fixes the dice, so that a text can be told exactly.',
        ],
        steps: [
            { id: 'd1', what: 'Greedy: always the likeliest. Press Play.', look: 'Read on until the text begins to circle. What does the surprisal do?', page: 'generate/', state: { prompt: 'Once upon a time', t: '0', seed: '1', count: '160' } },
            { id: 'd2', what: 'Temperature 2, nothing cut off.', look: 'After how many tokens is the text lost?', page: 'generate/', state: { prompt: 'Once upon a time', t: '2', seed: '1' } },
            { id: 'd3', what: 'Nucleus sampling: temperature 0.9, top-p 0.9.', look: 'Look at the table of the chain at a few places: how many tokens stay?', page: 'generate/', state: { prompt: 'Once upon a time', t: '0.9', p: '0.9', seed: '1' } },
            { id: 'd4', what: 'A place where the model is sure, for any sampler.', look: 'How many tokens does top-p 0.9 keep here? Then take “upon a” away.', page: 'generate/', state: { prompt: 'Once upon a', p: '0.9', seed: '1', count: '10' } },
            { id: 'd5', what: 'Branches: write something, choose a token in the middle, press the name of another one.', look: 'Both texts stay. Compare them below.', page: 'generate/', state: { prompt: 'The little girl', t: '0.8', seed: '3', count: '30' } },
        ],
        questions: [
            { ask: 'Does a higher temperature change which token is the likeliest?', answer: 'No. It divides all logits by the same number: the order stays, the differences shrink or grow. Only at infinity are all equal.' },
            { ask: 'After “Once upon a” top-p 0.9 keeps 1 token, after “The little girl” 190. Why is that better than a fixed number?', answer: 'Where the model is sure, a second candidate could only do harm; where much is possible, a short list makes the text poor. A fixed k is too long for the first place and too short for the second.' },
            { ask: 'Why does the greedy text run in circles?', answer: 'What stands in the text makes itself more probable. Once a phrase has come twice, its third time is the likeliest continuation, and nothing ever throws the dice to leave.' },
        ],
        tasks: [
            { task: 'Prompt “Once upon a time”, seed 1, 40 tokens. Write the first eight words for each sampler.', grid: { head: ['sampler', 'the text begins'], rows: [['greedy', ''], ['temperature 0.7', ''], ['temperature 2', '']] }, answer: 'Greedy: “, there was a little girl named Lily.” The others depend on the seed alone: the same seed and settings give the same text on every machine.' },
            { task: 'How many tokens does top-p 0.9 keep after each prompt? (Temperature 1.)', grid: { head: ['prompt', 'tokens kept', 'likeliest, and its probability'], rows: [['Once upon a', '', ''], ['Once upon a time there was a little', '', ''], ['The little girl', '', '']] }, solved: [['Once upon a', '1', 'time, 98 %'], ['Once upon a time there was a little', '18', 'girl, 66 %'], ['The little girl', '190', 'was, 14 %']], answer: '' },
            { task: 'Logits of three tokens: 2, 1, 0. Compute the probabilities at temperature 1, 0.5 and 2 (softmax of logit / temperature).', grid: { head: ['temperature', 'first', 'second', 'third'], rows: [['0.5', '', '', ''], ['1', '', '', ''], ['2', '', '', '']] }, solved: [['0.5', '0.867', '0.117', '0.016'], ['1', '0.665', '0.245', '0.090'], ['2', '0.506', '0.307', '0.186']], answer: '' },
            { task: 'You want names for a story: surprising, but names. Which sampler do you choose, and why?', lines: 3, answer: 'One that spreads, and cuts off the tail: a temperature above 1 with min-p, or top-p; without the cut, pieces that are no names come in.' },
        ],
    },
    {
        id: 'claims',
        title: 'Training, and what a claim is worth',
        minutes: 20,
        goal: 'You can train a small model, read its curves, and say what a verdict does and does not show.',
        text: [
            'Papers claim things about language models. Many can be shrunk until they train in a minute: fewer tokens, less width, the same mechanism. A lab of these pages takes one claim, trains each arm of the experiment, and checks numbers against bounds that were written down beforehand.',
            'A verdict is not a proof. It says that the effect appears in this miniature, with this seed, or that it does not. What makes it worth something: an arm without the cause, several seeds, and a switch that breaks it.',
        ],
        steps: [
            { id: 'e1', what: 'Induction heads: start the quick run and watch the loss on copies.', look: 'At which step does it drop, for two layers? What does one layer do?', page: 'labs/', state: { lab: 'induction-heads', preset: 'quick', seed: '1' } },
            { id: 'e2', what: 'Break it: the same without positions.', look: 'Does the drop come? Why not, when heads have to look at the token before?', page: 'labs/', state: { lab: 'induction-heads', preset: 'quick', seed: '1', 'k.positions': 'none' } },
            { id: 'e3', what: 'The reversal curse, with attention in one direction and in both.', look: 'Who answers the reversed questions?', page: 'labs/', state: { lab: 'bico-reversal-curse', preset: 'quick', seed: '1' } },
            { id: 'e4', what: 'A claim that is computed, not trained: number 48 of the atlas. Press Run.', look: 'Read what is run here, and what of the claim is not.', page: 'atlas/', state: { system: 'tokenization-bias-markov' } },
            { id: 'e5', what: 'What does not work yet.', look: 'Choose one. What would have to be bundled, and what would a fair miniature look like?', page: 'atlas/', state: { show: 'missing', field: 'decoding' } },
        ],
        questions: [
            { ask: 'Why does every lab have an arm that should fail?', answer: 'A number alone shows little. That one layer does not learn the copies, with all else equal, is what ties the drop to the second layer.' },
            { ask: 'The quick run of “Weight decay and rare tokens” fails three of its four checks. Is the paper refuted?', answer: 'No. The bounds are meant for the run in full; the quick one ends before the rare tokens are learnt. It is not confirmed by it either.' },
            { ask: 'A claim holds with seed 1. What do you do before you tell anyone?', answer: 'Other seeds, and a change that should break it. If it survives what should kill it, the explanation is wrong, even if the claim is right.' },
        ],
        tasks: [
            { task: 'Run “Induction heads appear all at once”, quick, with two seeds. Write the loss on the copies at the end.', grid: { head: ['seed', 'two layers', 'one layer', 'verdict'], rows: [['1', '', '', ''], ['2', '', '', '']] }, solved: [['1', '0.937', '2.85', 'holds'], ['2', '0.985', '2.80', 'holds']], answer: 'From seed to seed the losses differ by a few hundredths; the gap between two layers and one stays.' },
            { task: 'Sketch the loss of two layers and of one over the steps. Mark the place where the score of the induction heads rises.', room: 5, answer: 'Both begin at about ln 32 = 3.47. With two layers the loss falls steeply, within some 40 steps; the score rises at the same time. With one layer it goes down slowly and stays high.' },
            { task: 'Break the lab by one knob. Say before: what will happen, and why? Then run it.', grid: { head: ['knob and value', 'I expect', 'it was'], rows: [['first:', '', ''], ['second:', '', '']] }, answer: 'Without positions heads cannot look back by one token, so induction heads do not form. With a learning rate that is far too high, nothing is learnt at all: that breaks the training and says nothing about the claim.' },
            { task: 'Choose a paper of the atlas that works. Write its claim in one sentence, what was computed here, and one thing that this does not show.', lines: 4, answer: 'What a run leaves out is said below its result.' },
        ],
    },
];

/** The address of a page in a state. @param {Pick<Step, 'page' | 'state'>} step @returns {string} from a page of the site */
export const addressOf = ({ page, state }) => `../${page}#${new URLSearchParams(state)}`;
