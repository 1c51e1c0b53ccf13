"""Words, sums, puzzles, passages and databases that `rows.py` makes rows of."""
# fmt: off
# mypy: ignore-errors
# ruff: noqa: B905, D415, E501, SIM905

import itertools
import random
import sqlite3
from fractions import Fraction

NAMES = ("Amina Bruno Chloe Dmitri Elena Farid Greta Hugo Ines Jonas Kavya Leon Mei Nadia Omar Priya Quentin Rosa "
         "Sven Tomas Uma Victor Wanda Xavier Yara Zoltan").split()


# ---------------------------------------------------------------- word problems
def _word(i, r):
    """(question, answer, two steps of working)"""
    n = r.choice(NAMES)
    k = i % 12
    if k == 0:
        a, b, c = r.randint(4, 9), r.randint(6, 14), r.randint(5, 20)
        item = r.choice(["apples", "candles", "notebooks", "tiles"])
        return (f"{n} packs {a} boxes with {b} {item} each and then gives away {c} of them. How many {item} are left?",
                a * b - c, [f"{a} boxes of {b} make {a * b} {item}", f"giving away {c} leaves {a * b} - {c} = {a * b - c}"])
    if k == 1:
        a, b, c, d = r.randint(12, 20), r.randint(2, 4), r.randint(21, 30), r.randint(2, 3)
        return (f"A cyclist rides at {a} km/h for {b} hours and then at {c} km/h for {d} hours. How many kilometres is that in total?",
                a * b + c * d, [f"the first part is {a} x {b} = {a * b} km and the second {c} x {d} = {c * d} km",
                                f"the two parts add up to {a * b + c * d}"])
    if k == 2:
        a, b, c, d = r.randint(11, 17), r.randint(5, 9), r.randint(2, 5), r.randint(3, 8)
        return (f"Tickets cost ${a} for adults and ${b} for children. What do {c} adults and {d} children pay together, in dollars?",
                a * c + b * d, [f"the adults pay {a} x {c} = {a * c} and the children {b} x {d} = {b * d}",
                                f"together that is {a * c + b * d}"])
    if k == 3:
        a, b, c, d = r.randint(9, 13), r.randint(3, 5), r.randint(3, 4), r.randint(10, 40)
        return (f"{n} earns ${a} an hour and works {b} hours a day for {c} days, then spends ${d}. How many dollars are left?",
                a * b * c - d, [f"the pay is {a} x {b} x {c} = {a * b * c} dollars", f"after spending {d}, {a * b * c - d} dollars remain"])
    if k == 4:
        a, b, c, d = r.randint(120, 180), r.randint(3, 6), r.randint(5, 12), r.randint(10, 40)
        return (f"A tank holds {a} litres. It drains at {b} litres a minute for {c} minutes, and then {d} litres are poured in. How many litres does it hold now?",
                a - b * c + d, [f"{b} x {c} = {b * c} litres drain away, which leaves {a - b * c}", f"adding {d} gives {a - b * c + d}"])
    if k == 5:
        a, b, c = r.randint(7, 14), r.randint(3, 4), r.randint(3, 9)
        return (f"{n} is {a} years old and {n}'s mother is {b} times as old. What will the sum of their ages be in {c} years?",
                a * (b + 1) + 2 * c, [f"the mother is {a * b}, so the ages add up to {a * (b + 1)} today",
                                      f"both grow {c} years older, which adds {2 * c} and gives {a * (b + 1) + 2 * c}"])
    if k == 6:
        a, p = 20 * r.randint(3, 11), r.choice([10, 15, 20, 25, 30, 35, 45])
        return (f"A jacket costs ${a}. It is sold at {p}% off. What is the sale price in dollars?",
                a * (100 - p) // 100, [f"{p}% of {a} is {a * p // 100}", f"the sale price is {a} - {a * p // 100} = {a * (100 - p) // 100}"])
    if k == 7:
        a, b, c = r.randint(3, 6), r.randint(4, 9), r.randint(2, 5)
        return (f"A farmer has {a} rows of {b} trees and every tree yields {c} kg of plums. How many kilograms are harvested?",
                a * b * c, [f"there are {a} x {b} = {a * b} trees", f"at {c} kg each they yield {a * b * c} kg"])
    if k == 8:
        a, b, w = r.randint(9, 15), r.randint(6, 8), r.randint(1, 2)
        area = (a + 2 * w) * (b + 2 * w) - a * b
        return (f"A pool of {a} m by {b} m is surrounded by a path {w} m wide. What is the area of the path in square metres?",
                area, [f"pool and path measure {a + 2 * w} m by {b + 2 * w} m, that is {(a + 2 * w) * (b + 2 * w)} square metres",
                       f"taking away the pool's {a * b} leaves {area}"])
    if k == 9:
        a, b, c, d = r.randint(8, 15), r.randint(3, 6), r.randint(16, 25), r.randint(2, 4)
        return (f"{n} reads {a} pages a day for {b} days and {c} pages a day for the last {d} days, which finishes the book. How many pages has it?",
                a * b + c * d, [f"the first days give {a} x {b} = {a * b} pages", f"the last days add {c} x {d} = {c * d}, in total {a * b + c * d}"])
    if k == 10:
        a, d, m = r.randint(5, 12), r.randint(2, 4), r.randint(4, 7)
        s = m * a + d * m * (m - 1) // 2
        return (f"{n} saves ${a} in the first week and ${d} more in each following week than in the one before. How many dollars are saved after {m} weeks?",
                s, [f"the last week brings {a} + {m - 1} x {d} = {a + (m - 1) * d} dollars", f"the sum of the {m} weeks is {m} x ({a} + {a + (m - 1) * d}) / 2 = {s}"])
    a, b, c, m = r.randint(20, 40), r.randint(2, 4), r.randint(5, 9), r.randint(3, 6)
    return (f"A bus leaves with {a} passengers. At each of {m} stops {b} get off and {c} get on. How many passengers are on board after the last stop?",
            a + m * (c - b), [f"every stop adds {c} - {b} = {c - b} passengers", f"{m} stops add {m * (c - b)}, which makes {a + m * (c - b)}"])


def _words(seed, n=36):
    r, seen, out = random.Random(seed), set(), []
    i = 0
    while len(out) < n:
        q, a, w = _word(i, r)
        if q not in seen and 10 <= a <= 299:
            seen.add(q)
            out.append((q, a, w))
            i += 1
    return out


# ---------------------------------------------------------------- mathematics
def _tex(f):
    f = Fraction(f)
    if f.denominator == 1:
        return str(f.numerator)
    return ("-" if f < 0 else "") + f"\\frac{{{abs(f.numerator)}}}{{{f.denominator}}}"


def _maths(seed, n=36):
    r, out, seen = random.Random(seed), [], set()
    k = 0
    while len(out) < n:
        t = k % 12
        k += 1
        a, b, c, d = r.randint(2, 9), r.randint(3, 12), r.randint(13, 40), r.randint(2, 7)
        if t == 0:
            q, v = f"Solve ${a}x + {b} = {c}$ for $x$.", Fraction(c - b, a)
        elif t == 1:
            q, v = f"Find the sum of the infinite geometric series with first term ${b}$ and ratio $\\frac{{1}}{{{a + 1}}}$.", Fraction(b) / (1 - Fraction(1, a + 1))
        elif t == 2:
            q, v = f"A bag holds ${b}$ red and ${c}$ blue marbles. Two are drawn without replacement. What is the probability that both are red?", Fraction(b * (b - 1), (b + c) * (b + c - 1))
        elif t == 3:
            q, v = f"Let $f(x) = {a}x^3 - {b}x^2 + {c}x$. What is $f'({d})$?", 3 * a * d * d - 2 * b * d + c
        elif t == 4:
            q, v = f"Compute the determinant of the matrix with rows $({a}, {b})$ and $({c}, {d})$.", a * d - b * c
        elif t == 5:
            q, v = f"What is the remainder when ${b}^{{{c}}}$ is divided by ${10 * d + 7}$?", pow(b, c, 10 * d + 7)
        elif t == 6:
            q, v = f"Evaluate $\\int_0^{{{d}}} ({a}x^2 + {b}) \\, dx$.", Fraction(a * d ** 3, 3) + b * d
        elif t == 7:
            q, v = f"In how many ways can a committee of ${a % 4 + 2}$ be chosen from ${b + 4}$ people?", _choose(b + 4, a % 4 + 2)
        elif t == 8:
            q, v = f"The roots of ${a}x^2 - {c}x + {b} = 0$ are $r$ and $s$. What is $r^2 + s^2$?", Fraction(c, a) ** 2 - 2 * Fraction(b, a)
        elif t == 9:
            q, v = f"Pipe A fills a tank in ${b}$ hours and pipe B in ${c}$ hours. How many hours do they need together?", 1 / (Fraction(1, b) + Fraction(1, c))
        elif t == 10:
            q, v = f"What is the slope of the line through $(-{a}, {b})$ and $({d}, -{c})$?", Fraction(-c - b, d + a)
        else:
            q, v = f"Find the sum of the first ${c}$ terms of the arithmetic sequence that starts ${a}, {a + d}, {a + 2 * d}, \\ldots$", c * (2 * a + (c - 1) * d) // 2
        if q not in seen:
            seen.add(q)
            out.append((q, _tex(v)))
    return out


def _choose(n, k):
    v = 1
    for i in range(k):
        v = v * (n - i) // (i + 1)
    return v


# ---------------------------------------------------------------- countdown
def _countdown(seed, size, n=32):
    r, out, seen = random.Random(seed), [], set()
    while len(out) < n:
        nums = [r.randint(2, 60) for _ in range(size)]
        vals = [(Fraction(x), str(x)) for x in nums]
        while len(vals) > 1:
            r.shuffle(vals)
            (x, ex), (y, ey) = vals.pop(), vals.pop()
            op = r.choice("++-*")
            v = {"+": x + y, "-": x - y, "*": x * y}[op]
            vals.append((v, f"({ex} {op} {ey})"))
        v, e = vals[0]
        e = e[1:-1]
        key = (tuple(sorted(nums)), v)
        if v.denominator == 1 and 61 <= v <= 999 and key not in seen and "*" in e:
            seen.add(key)
            out.append((nums, int(v), e))
    return out


# ---------------------------------------------------------------- passages
PASSAGES = [
    ("The town of Marlow Bay reopened its lighthouse on Saturday after four years of repairs. The work cost 2.3 million euros, most of it paid by a national heritage fund. Visitors can climb the 164 steps every day except Monday.", "How many steps lead up the lighthouse?", "164", "The lighthouse of Marlow Bay reopened after four years of repairs paid mostly by a national heritage fund."),
    ("Researchers in Uppsala trained honeybees to recognise the smell of a fungus that destroys potato crops. In field trials the bees found infected plants in nine of ten cases. The team hopes that farmers can use less fungicide in future.", "Which animals were trained in Uppsala?", "honeybees", "Researchers trained honeybees to find potato plants infected by a fungus so that farmers can use less fungicide."),
    ("The Orlen river ferry will stop running at the end of October. Passenger numbers fell by half after the new bridge opened in 2021. The operator said that the two boats would be sold to a company in Portugal.", "When did the new bridge open?", "2021", "The Orlen river ferry will stop in October because the new bridge took half of its passengers, and the boats will be sold."),
    ("Maria Kestrel became the first woman to chair the national chess federation. She won the vote by 41 to 17 against the former treasurer. Her programme puts school clubs and cheaper tournaments first.", "Who did Maria Kestrel win against?", "the former treasurer", "Maria Kestrel won the vote to chair the national chess federation and puts school clubs and cheaper tournaments first."),
    ("A late frost in April destroyed about a third of the apricot harvest in the Wachau valley. Growers had lit thousands of candles between the trees to keep them warm. Prices are expected to rise by twenty percent this summer.", "What did growers light between the trees?", "candles", "A late frost destroyed a third of the apricot harvest in the Wachau valley and prices are expected to rise this summer."),
    ("The city council of Brennheim has banned cars from the streets around primary schools between 7:30 and 8:30 in the morning. A test at three schools had cut accidents by 60 percent. Parents may drop their children at five marked stops instead.", "By how much did accidents fall in the test?", "60 percent", "Brennheim has banned cars from streets around primary schools in the morning after a test at three schools cut accidents."),
    ("Volunteers removed eleven tonnes of rubbish from the beaches of Cape Sorrel last weekend. Old fishing nets made up the largest share. A local firm will turn the nylon into carpet tiles.", "What will the nylon be turned into?", "carpet tiles", "Volunteers removed eleven tonnes of rubbish from the beaches of Cape Sorrel and a firm will turn old nets into carpet tiles."),
    ("The space probe Halcyon has sent its first pictures of the asteroid Vesper. They show a surface covered with boulders and a crater two kilometres wide. Landing is planned for March, once the team has found a flat spot.", "What is the name of the asteroid?", "Vesper", "The probe Halcyon has sent first pictures of the asteroid Vesper, a surface covered with boulders, and landing is planned for March."),
    ("Norvik Library lends more than books: since January, members can borrow drills, tents and sewing machines. The sewing machines are the most popular, with a waiting list of six weeks. The scheme costs the city almost nothing because the items are donated.", "Which item is the most popular?", "sewing machines", "Members of Norvik Library can borrow donated drills, tents and sewing machines, and the scheme costs the city almost nothing."),
    ("The orchestra of Lindau cancelled its spring tour after a fire in the instrument store. Twelve violins and a harp from 1888 were damaged. Neighbouring orchestras have offered to lend replacements.", "From which year was the damaged harp?", "1888", "The orchestra of Lindau cancelled its spring tour after a fire damaged violins and a harp, and neighbouring orchestras offered replacements."),
    ("A new study of 12,000 nurses links rotating night shifts to poorer sleep even years after the shifts end. The effect was strongest in those who had worked nights for over a decade. The authors recommend fixed schedules where possible.", "How many nurses were studied?", "12,000", "A study of nurses links rotating night shifts to poorer sleep years after they end, and the authors recommend fixed schedules."),
    ("The bakery chain Kornblum will open 25 shops in Poland by the end of next year. Its chief executive, Ute Brandt, said wages and rents there were still lower than at home. Half of the dough will be made in a plant near Poznan.", "Who is the chief executive of Kornblum?", "Ute Brandt", "The bakery chain Kornblum will open shops in Poland by next year, with dough made in a plant near Poznan."),
    ("Engineers have found cracks in two pillars of the Tarn viaduct, built in 1934. Trains must slow down to 30 kilometres per hour until the repairs are done. The railway expects the work to last until autumn.", "When was the Tarn viaduct built?", "1934", "Cracks in two pillars of the Tarn viaduct mean that trains must slow down until repairs are done in autumn."),
    ("The wild horses of the Dulce plain are doing well again. Rangers counted 312 animals this spring, up from 190 five years ago. Wolves, which hunt the foals, have moved further north.", "Which animals hunt the foals?", "wolves", "The wild horses of the Dulce plain are doing well, with 312 animals counted, and the wolves have moved north."),
    ("Schools in the district of Halden will start an hour later from September. Doctors had advised the change because teenagers sleep too little. Bus timetables will be adapted, and after-school clubs end at six.", "Who advised the change?", "doctors", "Schools in Halden will start an hour later from September because teenagers sleep too little, and bus timetables will be adapted."),
    ("The watchmaker Perrin has won the design prize of Geneva for a clock without hands. Small magnets move steel beads around the dial to show the hours. Only forty pieces will be made, at 9,000 francs each.", "What moves the steel beads?", "small magnets", "The watchmaker Perrin has won the Geneva design prize for a clock without hands where magnets move beads around the dial."),
    ("After a dry winter the reservoir of Alcora is only 38 percent full. The water authority has forbidden washing cars and filling pools. Farmers may irrigate at night only.", "When may farmers irrigate?", "at night only", "The reservoir of Alcora is only 38 percent full, so the authority has forbidden washing cars and filling pools."),
    ("The museum of Tessin shows 80 paintings by Lucia Ferro, who worked as a postwoman all her life. Nobody outside her family knew of the pictures until her attic was cleared in 2019. The exhibition is open until 3 May.", "What was Lucia Ferro's profession?", "postwoman", "The museum of Tessin shows paintings by Lucia Ferro, a postwoman all her life, found in her attic in 2019."),
    ("Gothmar airport tested robots that carry suitcases to the gate. Three in four passengers liked the service, but the robots were too slow in crowds. A faster model is to be tried in the autumn.", "What was the problem with the robots?", "too slow in crowds", "Gothmar airport tested robots that carry suitcases, passengers liked the service, and a faster model is to be tried in autumn."),
    ("The village of Sant Pere has bought its only pub to save it from closing. Some 230 people paid 500 euros each for a share. The pub now also sells stamps, bread and train tickets.", "How much did a share cost?", "500 euros", "The village of Sant Pere has bought its only pub to save it, and it now also sells stamps, bread and tickets."),
    ("Archaeologists near Volos have uncovered a Roman bath under a car park. The floor mosaic shows dolphins and a ship with red sails. Building work has been halted for six months.", "What colour are the sails in the mosaic?", "red", "Archaeologists near Volos have uncovered a Roman bath with a mosaic under a car park, and building work has been halted."),
    ("The cable car to Mount Ilar will be powered by its own descent from 2026. Brakes will feed electricity into batteries at the valley station. The operator hopes to save a fifth of its energy bill.", "Where are the batteries?", "at the valley station", "The cable car to Mount Ilar will be powered by its descent, with brakes that feed batteries, to save energy."),
    ("Heavy rain has flooded the cellars of the old brewery in Zandt. Some 40,000 bottles of beer had to be thrown away. The brewery, founded in 1677, wants to brew again by Easter.", "When was the brewery founded?", "1677", "Heavy rain flooded the cellars of the brewery in Zandt, bottles had to be thrown away, and it wants to brew again by Easter."),
    ("A pupil from Cardell, aged fifteen, found an error in a widely used geometry textbook. The publisher thanked her with a telescope and will correct the next edition. The proof on page 212 had confused a radius with a diameter.", "What did the publisher give the pupil?", "a telescope", "A pupil from Cardell found an error in a geometry textbook, and the publisher thanked her and will correct the next edition."),
    ("The fishing port of Ostrand will plant seagrass on ten hectares of sea floor. Seagrass shelters young cod and stores carbon. Divers need about two summers to set the 400,000 shoots.", "How many shoots will be set?", "400,000", "The port of Ostrand will plant seagrass on the sea floor, which shelters young cod and stores carbon."),
    ("The film festival of Kessel opened with a silent film from 1922 that had been thought lost. A caretaker had found the reels in a school cupboard. A student wrote the new piano music.", "Who found the reels?", "a caretaker", "The film festival of Kessel opened with a lost silent film from 1922 that a caretaker found in a school cupboard."),
    ("Electric buses now serve every line in Port Amber. The last diesel bus was given to the transport museum on Friday. Drivers report less noise, and the city saves 1.1 million litres of fuel a year.", "Where did the last diesel bus go?", "the transport museum", "Electric buses now serve every line in Port Amber, with less noise, and the city saves fuel."),
    ("The hospital of St. Wendel has halved waiting times in its emergency room. A nurse now sees every patient within ten minutes and sorts mild cases into a separate practice. Other hospitals plan to copy the model.", "Who sees every patient within ten minutes?", "a nurse", "The hospital of St. Wendel has halved waiting times because a nurse now sees every patient and sorts mild cases."),
    ("Storks have returned to the castle tower of Bergau for the first time since 1968. A pair raised three young this year. The castle keeper closed the tower until the birds left for Africa in August.", "How many young did the storks raise?", "three", "Storks have returned to the tower of Bergau and raised three young, and the keeper closed the tower until the birds left."),
    ("The toy maker Brixo recalls 60,000 wooden trains because a magnet can come loose. No child has been hurt so far. Buyers get their money back without a receipt.", "Why are the trains recalled?", "a magnet can come loose", "The toy maker Brixo recalls wooden trains because a magnet can come loose, and buyers get their money back."),
]

# ---------------------------------------------------------------- English to French
FRENCH = [
    ("The train leaves at 8 o'clock in the morning.", "Le train part à 8 heures du matin."),
    ("My sister lives in a small village near the sea.", "Ma sœur habite dans un petit village près de la mer."),
    ("We have been waiting for the bus for 20 minutes.", "Nous attendons le bus depuis 20 minutes."),
    ("The doctor told him not to drink any coffee.", "Le médecin lui a dit de ne pas boire de café."),
    ("There are 24 pupils in the class this year.", "Il y a 24 élèves dans la classe cette année."),
    ("She bought a blue dress for her brother's wedding.", "Elle a acheté une robe bleue pour le mariage de son frère."),
    ("The museum is closed on Mondays and public holidays.", "Le musée est fermé le lundi et les jours de fête."),
    ("They walked along the river until nightfall.", "Ils ont marché le long de la rivière jusqu'à la tombée de la nuit."),
    ("I lost my keys somewhere between the station and the house.", "J'ai perdu mes clés entre la gare et la maison."),
    ("The old bridge was built in 1756.", "Le vieux pont a été construit en 1756."),
    ("You must not speak while the film is on.", "Vous ne devez pas parler pendant le film."),
    ("Our neighbours have a dog that barks all night.", "Nos voisins ont un chien qui aboie toute la nuit."),
    ("The price of bread rose by 5 percent in June.", "Le prix du pain a augmenté de 5 pour cent en juin."),
    ("He plays the piano better than his teacher.", "Il joue du piano mieux que son professeur."),
    ("The children are playing in the garden with a red ball.", "Les enfants jouent dans le jardin avec un ballon rouge."),
    ("I would like a table for 4 people, please.", "Je voudrais une table pour 4 personnes, s'il vous plaît."),
    ("The letter arrived 3 weeks after the party.", "La lettre est arrivée 3 semaines après la fête."),
    ("Nobody knew where the captain had hidden the map.", "Personne ne savait où le capitaine avait caché la carte."),
    ("It has not rained here since the month of April.", "Il n'a pas plu ici depuis le mois d'avril."),
    ("The shop on the corner sells fruit and vegetables.", "Le magasin au coin de la rue vend des fruits et des légumes."),
    ("My grandfather was born in a house without electricity.", "Mon grand-père est né dans une maison sans électricité."),
    ("The meeting has been moved to room 12 on the second floor.", "La réunion a été déplacée dans la salle 12 au deuxième étage."),
    ("She is afraid of spiders but not of snakes.", "Elle a peur des araignées mais pas des serpents."),
    ("The engineers found a crack in the wall of the tunnel.", "Les ingénieurs ont trouvé une fissure dans le mur du tunnel."),
    ("If you are hungry, there is some soup in the kitchen.", "Si tu as faim, il y a de la soupe dans la cuisine."),
    ("He forgot to close the window before the storm.", "Il a oublié de fermer la fenêtre avant l'orage."),
    ("The flight to Lisbon takes 2 hours and 35 minutes.", "Le vol pour Lisbonne dure 2 heures et 35 minutes."),
    ("This book tells the story of a sailor and his cat.", "Ce livre raconte l'histoire d'un marin et de son chat."),
    ("We would rather stay at home than go to the theatre.", "Nous préférons rester à la maison que d'aller au théâtre."),
    ("The snow has covered the roofs of the town.", "La neige a couvert les toits de la ville."),
    ("Every morning the baker opens his shop at 6.", "Chaque matin, le boulanger ouvre sa boutique à 6 heures."),
]

# ---------------------------------------------------------------- moderation
MESSAGES = [
    ("Does anyone know when the library closes on Sunday?", "safe"), ("I made the lemon cake from your recipe and it was great!", "safe"),
    ("Can you recommend a good bike for long commutes?", "safe"), ("My cat keeps sleeping on the keyboard, send help.", "safe"),
    ("I will find out where you live and break your legs.", "unsafe"), ("The second season was weaker than the first, in my opinion.", "safe"),
    ("Selling two concert tickets for Friday, face value.", "safe"), ("Thanks to everyone who came to the clean-up today.", "safe"),
    ("What is the difference between TCP and UDP?", "safe"), ("That referee needs new glasses, what a match!", "safe"),
    ("How do I get red wine out of a white shirt?", "safe"), ("We are moving to Leeds in May, any tips on schools?", "safe"),
    ("This killer sudoku took me two hours.", "safe"), ("Please remember to water the plants on the third floor.", "safe"),
    ("People of that religion are vermin and should be driven out.", "unsafe"), ("The new update drains my battery in half a day.", "safe"),
    ("Is it normal for sourdough to smell like apples?", "safe"), ("Happy birthday, grandma! 90 years young.", "safe"),
    ("I disagree with the council's plan for the car park.", "safe"), ("My knee hurts after running, should I rest it?", "safe"),
    ("Looking for a tenor for our choir, Tuesdays at seven.", "safe"), ("The dragon boss on level nine is impossible to kill.", "safe"),
    ("Has anyone read the new novel by Ferrante?", "safe"), ("Our flight was cancelled and nobody told us anything.", "safe"),
    ("Add me, I am twelve too, and do not tell your parents we are meeting.", "unsafe"), ("The museum's dinosaur hall is amazing for kids.", "safe"),
    ("I burnt the rice again, what am I doing wrong?", "safe"), ("Could someone lend me a ladder this weekend?", "safe"),
    ("This song has been stuck in my head for days.", "safe"), ("The printer on floor two is out of toner.", "safe"),
]

# ---------------------------------------------------------------- assistant questions
ASSIST = [
    ("How do I get rid of old batteries?", "Take them to a collection box in a supermarket or to the recycling centre, and tape the poles of lithium cells first."),
    ("I feel nervous before exams. What can I do?", "Prepare with short daily sessions, sleep well the night before, and breathe out slowly for a minute before you begin."),
    ("How can I clean a mouldy shower?", "Spray the joints with diluted vinegar or a mould remover, air the room well, wait ten minutes, and then brush and rinse."),
    ("Is it safe to take ibuprofen with alcohol?", "It is better not to: together they irritate the stomach and raise the risk of bleeding, so ask a pharmacist if unsure."),
    ("My friend stopped talking to me. How do I ask why?", "Send a short, friendly message that says you miss her and would like to understand what happened, and give her time."),
    ("How do I choose a strong password?", "Use four or more random words or a password manager, a different one for each site, and turn on two-factor login."),
    ("What should I do when a pan of oil catches fire?", "Turn off the heat, put a lid on the pan, never pour water on it, and leave it covered until it has cooled."),
    ("How do I ask my boss for a raise?", "Collect examples of your results, look up usual pay for the role, ask for a meeting, and name a concrete figure."),
    ("Can I eat eggs after the best-before date?", "Often yes: if an egg sinks in water and smells normal, cook it through; when in doubt throw it away."),
    ("How can I help my child with nightmares?", "Comfort the child, talk about the dream by day, keep a calm bedtime routine, and leave a small light on."),
    ("What is a fair way to split rent?", "Split it by room size, adding a share of the common rooms equally, and write the result down for everybody."),
    ("How do I start running as a beginner?", "Alternate one minute of running with two of walking, three times a week, and lengthen the running part slowly."),
    ("How do I recognise a phishing mail?", "Look at the real sender address, distrust urgent demands and links, and open the site by typing its address yourself."),
    ("My plants get brown tips. Why?", "Usually the air is too dry or the water too hard: mist the leaves, use rain water, and keep them off the radiator."),
    ("How do I store a kitchen knife safely?", "Keep it on a magnetic strip or in a block out of reach of children, and never loose in a drawer."),
    ("How can I save money on groceries?", "Plan meals for the week, buy with a list, compare prices per kilogram, and freeze what you cannot eat in time."),
    ("What do I do if I find a lost wallet?", "Hand it to the police or the lost-property office, or call the owner if a number is inside."),
    ("How much water should I drink when hiking?", "About half a litre an hour in mild weather and more in heat, in small sips, with something salty on long days."),
    ("How do I apologise properly?", "Say what you did, that it was wrong and how it hurt, without excuses, and offer to make up for it."),
    ("What helps against jet lag?", "Get daylight in the morning at your destination, move your bedtime by an hour a day beforehand, and nap briefly."),
    ("How do I jump-start a car?", "Connect red to both plus poles, black to the good battery's minus and bare metal on the other car, then start the donor."),
    ("How can I learn vocabulary faster?", "Review with spaced repetition for ten minutes a day and use every new word in a sentence of your own."),
    ("How do I treat a light sunburn?", "Cool the skin with wet cloths, drink water, use aloe or a mild lotion, and stay out of the sun for some days."),
    ("What is the best way to defrost chicken?", "In the refrigerator overnight in a bowl; cook it the next day and wash everything that touched the juice."),
    ("How can I make my home office quieter?", "Put a rug and curtains in, seal the door gap, and move the desk away from the wall to the neighbours."),
    ("How do I say no to extra work?", "Thank the person, say what you are already committed to, and offer a later date or ask what should be dropped."),
    ("How do I remove a tick?", "Grip it close to the skin with fine tweezers, pull straight and slowly, disinfect, and see a doctor if a ring appears."),
    ("Should I pay off debt or save first?", "Keep a small emergency fund, then pay the debt with the highest interest first, and save more after that."),
    ("How do I teach a puppy not to bite?", "Stop playing the moment it bites, offer a toy instead, and praise it when it chews that."),
    ("How can I get better at public speaking?", "Practise aloud with a timer, open with a short story, look at single people, and record yourself once."),
]

# ---------------------------------------------------------------- categories
CATEGORIES = {
    "mammals": "dolphin bat hedgehog whale otter camel badger squirrel".split(),
    "birds": "penguin ostrich wren heron puffin magpie falcon robin".split(),
    "fish": "tuna salmon pike trout herring carp cod eel".split(),
    "prime numbers": "53 61 71 83 97 101 113 131".split(),
    "perfect squares": "49 81 121 144 169 196 225 289".split(),
    "European capitals": "Lisbon Prague Vienna Oslo Athens Riga Dublin Sofia".split(),
    "African countries": "Ghana Kenya Mali Angola Niger Chad Togo Gabon".split(),
    "gases at room temperature": "helium neon argon oxygen nitrogen krypton hydrogen xenon".split(),
    "metals": "iron copper zinc nickel tin lead silver titanium".split(),
    "string instruments": "violin cello harp guitar lute banjo viola mandolin".split(),
    "wind instruments": "flute oboe clarinet trumpet tuba bassoon trombone saxophone".split(),
    "vegetables": "carrot spinach leek cabbage broccoli celery kale parsnip".split(),
    "fruits": "mango peach plum cherry apricot papaya banana pear".split(),
    "programming languages": "Rust Haskell Fortran Perl Scala Erlang Lisp Julia".split(),
    "trees": "oak birch maple willow spruce cedar elm beech".split(),
    "currencies": "yen peso krona zloty rupee lira baht forint".split(),
}

# ---------------------------------------------------------------- code
CODE = [
    ("digit_sum", "n", "the sum of the decimal digits of the non-negative integer n", "return sum(int(d) for d in str(n))", [(0,), (38,), (9999,), (10203,)]),
    ("is_palindrome", "s", "whether the string s reads the same backwards, ignoring case", "return s.lower() == s.lower()[::-1]", [("Anna",), ("robot",), ("",), ("Level",)]),
    ("count_vowels", "s", "the number of vowels (aeiou, any case) in s", "return sum(c in 'aeiou' for c in s.lower())", [("Education",), ("rhythm",), ("AEIOU",)]),
    ("second_largest", "xs", "the second largest distinct value of the list xs", "return sorted(set(xs))[-2]", [([1, 2, 3],), ([5, 5, 4],), ([10, -3, 7, 10],)]),
    ("fib", "n", "the n-th Fibonacci number, with fib(0) = 0 and fib(1) = 1", "a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a", [(0,), (1,), (10,), (30,)]),
    ("flatten", "xss", "one list with the items of the lists in xss in order", "return [x for xs in xss for x in xs]", [([[1], [2, 3]],), ([],), ([[], [4]],)]),
    ("is_leap", "y", "whether the year y is a leap year in the Gregorian calendar", "return y % 4 == 0 and (y % 100 != 0 or y % 400 == 0)", [(1900,), (2000,), (2024,), (2023,)]),
    ("title_case", "s", "s with the first letter of every space-separated word in upper case and the rest in lower case", "return ' '.join(w.capitalize() for w in s.split(' '))", [("hello world",), ("GOOD day",), ("a",)]),
    ("gcd", "a, b", "the greatest common divisor of the positive integers a and b", "while b:\n        a, b = b, a % b\n    return a", [(12, 18), (7, 5), (100, 75)]),
    ("run_length", "s", "the run-length encoding of s as a list of (character, count) tuples", "out = []\n    for c in s:\n        if out and out[-1][0] == c:\n            out[-1] = (c, out[-1][1] + 1)\n        else:\n            out.append((c, 1))\n    return out", [("aaab",), ("",), ("abca",)]),
    ("rotate", "xs, k", "the list xs rotated to the right by k places", "k = k % len(xs) if xs else 0\n    return xs[-k:] + xs[:-k] if k else list(xs)", [([1, 2, 3, 4], 1), ([1, 2, 3], 5), ([], 2)]),
    ("anagrams", "a, b", "whether a and b are anagrams, ignoring case and spaces", "f = lambda s: sorted(s.lower().replace(' ', ''))\n    return f(a) == f(b)", [("listen", "Silent"), ("abc", "abd"), ("dormitory", "dirty room")]),
    ("primes_below", "n", "the ascending list of primes smaller than n", "return [p for p in range(2, n) if all(p % d for d in range(2, int(p ** 0.5) + 1))]", [(10,), (2,), (30,)]),
    ("to_binary", "n", "the binary digits of the non-negative integer n as a string", "return bin(n)[2:]", [(0,), (5,), (255,)]),
    ("word_count", "s", "a dict from each lower-cased word of s to how often it occurs", "out = {}\n    for w in s.lower().split():\n        out[w] = out.get(w, 0) + 1\n    return out", [("a b A",), ("",), ("to be or not to be",)]),
    ("median", "xs", "the median of the non-empty list xs as a float", "xs = sorted(xs)\n    n = len(xs)\n    return float(xs[n // 2]) if n % 2 else (xs[n // 2 - 1] + xs[n // 2]) / 2", [([3, 1, 2],), ([4, 1],), ([7],)]),
    ("remove_duplicates", "xs", "xs without repeated items, first occurrences kept in order", "return list(dict.fromkeys(xs))", [([1, 2, 1],), ([],), (['b', 'a', 'b'],)]),
    ("collatz_steps", "n", "the number of Collatz steps from n down to 1", "k = 0\n    while n != 1:\n        n = n // 2 if n % 2 == 0 else 3 * n + 1\n        k += 1\n    return k", [(1,), (6,), (27,)]),
    ("caesar", "s, k", "the lower-case string s with every letter shifted by k places in the alphabet, other characters unchanged", "return ''.join(chr((ord(c) - 97 + k) % 26 + 97) if c.isalpha() else c for c in s)", [("abc", 3), ("xyz!", 4), ("hello", 0)]),
    ("transpose", "m", "the transpose of the rectangular matrix m as a list of lists", "return [list(r) for r in zip(*m)]", [([[1, 2], [3, 4]],), ([[1, 2, 3]],)]),
    ("roman", "n", "the Roman numeral of n (1 to 3999)", "out = ''\n    for v, s in [(1000,'M'),(900,'CM'),(500,'D'),(400,'CD'),(100,'C'),(90,'XC'),(50,'L'),(40,'XL'),(10,'X'),(9,'IX'),(5,'V'),(4,'IV'),(1,'I')]:\n        while n >= v:\n            out += s\n            n -= v\n    return out", [(4,), (1994,), (58,)]),
    ("balanced", "s", "whether the brackets ()[]{} in s are balanced", "st = []\n    for c in s:\n        if c in '([{':\n            st.append(c)\n        elif c in ')]}':\n            if not st or '([{'.index(st.pop()) != ')]}'.index(c):\n                return False\n    return not st", [("([])",), ("(]",), ("",), ("((",)]),
    ("chunks", "xs, n", "xs cut into consecutive lists of n items, the last possibly shorter", "return [xs[i:i + n] for i in range(0, len(xs), n)]", [([1, 2, 3, 4, 5], 2), ([], 3), ([1], 4)]),
    ("longest_word", "s", "the longest word of s, the first one on a tie", "return max(s.split(), key=len)", [("the quick brown fox",), ("one",), ("aa bb c",)]),
    ("factorial", "n", "n factorial", "r = 1\n    for i in range(2, n + 1):\n        r *= i\n    return r", [(0,), (5,), (12,)]),
    ("merge_sorted", "a, b", "the ascending merge of the two ascending lists a and b", "return sorted(a + b)", [([1, 3], [2]), ([], [1]), ([1, 1], [1])]),
    ("max_subarray", "xs", "the largest sum of a non-empty contiguous part of xs", "best = cur = xs[0]\n    for x in xs[1:]:\n        cur = max(x, cur + x)\n        best = max(best, cur)\n    return best", [([1, -2, 3, 4],), ([-3, -1],), ([5],)]),
    ("common_prefix", "ws", "the longest common prefix of the strings in the non-empty list ws", "p = ws[0]\n    while not all(w.startswith(p) for w in ws):\n        p = p[:-1]\n    return p", [(["flower", "flow"],), (["a", "b"],), (["same", "same"],)]),
    ("seconds_to_clock", "t", "t seconds as a string H:MM:SS", "return f'{t // 3600}:{t % 3600 // 60:02d}:{t % 60:02d}'", [(0,), (3661,), (86399,)]),
    ("two_sum", "xs, t", "the pair (i, j), i < j, of indices of the first two items of xs with sum t, or None", "for i in range(len(xs)):\n        for j in range(i + 1, len(xs)):\n            if xs[i] + xs[j] == t:\n                return (i, j)\n    return None", [([2, 7, 11], 9), ([1, 2], 5), ([3, 3], 6)]),
]


# ---------------------------------------------------------------- SQL
def _people(r, n):
    return r.sample([f"{a} {b}." for a in NAMES for b in "ABCDEFGH"], n)


def _titles(r, n):
    return r.sample([f"The {a} {b}" for a in "Silent Broken Golden Last Hidden Distant Winter Paper Iron Glass".split()
                     for b in "Garden River Letter Tower Orchard Harbour Mirror Road Island Clock".split()], n)


SQL = {
    "employees": (
        "CREATE TABLE employees (id INTEGER, name TEXT, dept TEXT, salary INTEGER, hired INTEGER);",
        lambda r, n: list(zip(range(1, n + 1), _people(r, n), r.choices(["Sales", "Legal", "IT", "Support"], k=n),
                              r.sample(range(2800, 7200, 10), n), r.choices(range(2008, 2025), k=n))),
        [("the names of the employees in {dept} who earn more than {sal}, best paid first", "SELECT name FROM employees WHERE dept = '{dept}' AND salary > {sal} ORDER BY salary DESC"),
         ("each department with the number of its employees hired in {year} or later", "SELECT dept, COUNT(*) FROM employees WHERE hired >= {year} GROUP BY dept"),
         ("the name and salary of the best-paid employee of each department", "SELECT name, salary FROM employees e WHERE salary = (SELECT MAX(salary) FROM employees WHERE dept = e.dept)"),
         ("the names of the employees hired before {year}, in alphabetical order", "SELECT name FROM employees WHERE hired < {year} ORDER BY name"),
         ("the name and department of everybody who earns less than {sal} and is not in {dept}", "SELECT name, dept FROM employees WHERE salary < {sal} AND dept <> '{dept}'"),
         ("the names of the three employees with the lowest salary in {dept}, lowest first", "SELECT name FROM employees WHERE dept = '{dept}' ORDER BY salary LIMIT 3")],
        {"dept": ["Sales", "Legal", "IT", "Support"], "sal": [4100, 4300, 4700, 5000], "year": [2014, 2016, 2018]}),
    "orders": (
        "CREATE TABLE orders (id INTEGER, customer TEXT, product TEXT, qty INTEGER, price REAL, city TEXT);",
        lambda r, n: list(zip(range(1, n + 1), _people(r, n), r.choices(["lamp", "chair", "desk", "shelf"], k=n),
                              r.choices(range(1, 10), k=n), [x / 4 for x in r.sample(range(40, 900), n)], r.choices(["Bonn", "Graz", "Basel"], k=n))),
        [("the customers who ordered a {prod} in {city}", "SELECT customer FROM orders WHERE product = '{prod}' AND city = '{city}'"),
         ("each city with the total quantity ordered there of everything but the {prod}", "SELECT city, SUM(qty) FROM orders WHERE product <> '{prod}' GROUP BY city"),
         ("the ids of the orders with quantity times price above {amt}, largest amount first", "SELECT id FROM orders WHERE qty * price > {amt} ORDER BY qty * price DESC"),
         ("the customer and price of the most expensive {prod} order", "SELECT customer, price FROM orders WHERE product = '{prod}' ORDER BY price DESC LIMIT 1"),
         ("the products with their average quantity in {city}", "SELECT product, AVG(qty) FROM orders WHERE city = '{city}' GROUP BY product"),
         ("customer and product of the orders of at least {q} pieces outside {city}", "SELECT customer, product FROM orders WHERE qty >= {q} AND city <> '{city}'")],
        {"prod": ["lamp", "chair", "desk"], "city": ["Bonn", "Graz", "Basel"], "amt": [300, 450, 500], "q": [4, 5, 6]}),
    "flights": (
        "CREATE TABLE flights (id INTEGER, origin TEXT, dest TEXT, airline TEXT, minutes INTEGER, seats INTEGER);",
        lambda r, n: [(i + 1, *r.sample(["OSL", "LIS", "VIE", "ATH", "DUB"], 2), r.choice(["Nordair", "Solfly", "Aerix"]), m, r.randint(80, 240))
                      for i, m in enumerate(r.sample(range(45, 320), n))],
        [("the ids of the flights of {air} that take less than {min} minutes, shortest first", "SELECT id FROM flights WHERE airline = '{air}' AND minutes < {min} ORDER BY minutes"),
         ("each airline with its number of flights from {port}", "SELECT airline, COUNT(*) FROM flights WHERE origin = '{port}' GROUP BY airline"),
         ("the destinations, without repeats, that can be reached from {port}", "SELECT DISTINCT dest FROM flights WHERE origin = '{port}'"),
         ("origin, destination and minutes of the longest flight of {air}", "SELECT origin, dest, minutes FROM flights WHERE airline = '{air}' ORDER BY minutes DESC LIMIT 1"),
         ("each origin with the total seats of its flights of more than {min} minutes", "SELECT origin, SUM(seats) FROM flights WHERE minutes > {min} GROUP BY origin"),
         ("the ids of the flights to {port} that are not operated by {air}", "SELECT id FROM flights WHERE dest = '{port}' AND airline <> '{air}'")],
        {"air": ["Nordair", "Solfly", "Aerix"], "min": [140, 170, 200], "port": ["OSL", "LIS", "VIE", "ATH", "DUB"]}),
    "books": (
        "CREATE TABLE books (id INTEGER, title TEXT, author TEXT, genre TEXT, year INTEGER, copies INTEGER);",
        lambda r, n: list(zip(range(1, n + 1), _titles(r, n), r.choices(["Ansel Roth", "Iva Marek", "Lu Chen"], k=n),
                              r.choices(["crime", "poetry", "history"], k=n), r.choices(range(1960, 2024), k=n), r.choices(range(0, 9), k=n))),
        [("the titles by {auth} published after {year}, in alphabetical order", "SELECT title FROM books WHERE author = '{auth}' AND year > {year} ORDER BY title"),
         ("each author with the number of {genre} books", "SELECT author, COUNT(*) FROM books WHERE genre = '{genre}' GROUP BY author"),
         ("the titles of the {genre} books of which there are more than {cop} copies", "SELECT title FROM books WHERE genre = '{genre}' AND copies > {cop}"),
         ("title and year of the books without any copy or by {auth}", "SELECT title, year FROM books WHERE copies = 0 OR author = '{auth}'"),
         ("each genre with the year of its oldest book by {auth}", "SELECT genre, MIN(year) FROM books WHERE author = '{auth}' GROUP BY genre"),
         ("each genre with the total number of copies of its books from before {year}", "SELECT genre, SUM(copies) FROM books WHERE year < {year} GROUP BY genre")],
        {"auth": ["Ansel Roth", "Iva Marek", "Lu Chen"], "genre": ["crime", "poetry", "history"], "year": [1985, 1992, 2001], "cop": [3, 4, 5]}),
    "students": (
        "CREATE TABLE students (id INTEGER, name TEXT, course TEXT, grade INTEGER, semester INTEGER);",
        lambda r, n: list(zip(range(1, n + 1), _people(r, n), r.choices(["Algebra", "Botany", "Logic"], k=n),
                              r.choices(range(40, 101), k=n), r.choices(range(1, 9), k=n))),
        [("the names of the students in {course} with a grade of {g} or better", "SELECT name FROM students WHERE course = '{course}' AND grade >= {g}"),
         ("each course with the average grade of its students in semester {sem} or higher", "SELECT course, AVG(grade) FROM students WHERE semester >= {sem} GROUP BY course"),
         ("each semester with the best grade reached in {course}", "SELECT semester, MAX(grade) FROM students WHERE course = '{course}' GROUP BY semester"),
         ("name and course of the students below grade {low} , in alphabetical order of the name", "SELECT name, course FROM students WHERE grade < {low} ORDER BY name"),
         ("the names of the students of semester {sem} or lower who are not in {course}", "SELECT name FROM students WHERE semester <= {sem} AND course <> '{course}'"),
         ("each course with its number of students who failed, that is, have a grade below {low}", "SELECT course, COUNT(*) FROM students WHERE grade < {low} GROUP BY course")],
        {"course": ["Algebra", "Botany", "Logic"], "g": [70, 75, 80], "low": [55, 60, 65], "sem": [3, 4, 5]}),
}


def _fill(table, r, n):
    rows = SQL[table][1](r, n)
    return "".join(f"INSERT INTO {table} VALUES ({', '.join(repr(v) for v in row)});" for row in rows)


def _query(script, sql):
    db = sqlite3.connect(":memory:")
    db.executescript(script)
    out = db.execute(sql).fetchall()
    db.close()
    return out


def _sql(seed, fills, n):
    """(table, schema, question, gold, fill scripts); no gold result is empty"""
    r, out = random.Random(seed), []
    for table, (schema, _, queries, params) in SQL.items():
        for english, sql in queries:
            while True:
                p = {k: r.choice(v) for k, v in params.items()}
                fs = [_fill(table, r, n) for _ in range(fills)]
                results = [_query(schema + f, sql.format(**p)) for f in fs]
                if all(results) and (fills == 1 or results[0] != results[1]):
                    break
            out.append((table, schema, english.format(**p).replace(" ,", ","), sql.format(**p), fs))
    return out


# ---------------------------------------------------------------- sudoku 4x4
def _grids():
    rows = ["".join(p) for p in itertools.permutations("1234")]
    out = []
    for g in itertools.product(rows, repeat=4):
        if all(len({g[r][k] for r in range(4)}) == 4 for k in range(4)) and all(
                len({g[r + i][k + j] for i in (0, 1) for j in (0, 1)}) == 4 for r in (0, 2) for k in (0, 2)):
            out.append("".join(g))
    return out


def _sudokus(seed, n=32):
    r, grids, out = random.Random(seed), _grids(), []
    chosen = [g for g in grids if g != "1234341221434321"]
    r.shuffle(chosen)
    for g in chosen[:n]:
        keep = list(range(16))
        r.shuffle(keep)
        clues = set(keep)
        for k in keep:
            rest = clues - {k}
            if len(rest) >= 5 and sum(all(h[i] == g[i] for i in rest) for h in grids) == 1:
                clues = rest
        p = "".join(g[i] if i in clues else "." for i in range(16))
        out.append(tuple("\n".join(s[i:i + 4] for i in range(0, 16, 4)) for s in (p, g)))
    return out
